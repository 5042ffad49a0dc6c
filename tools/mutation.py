"""Mutation testing: changes the code of the model and the training in one place at a time, and counts the changes that no test notices.

    pip install -e '.[dev,attack]'
    python tools/mutation.py --sample 400

mutmut does the work, as [tool.mutmut] of pyproject.toml says, in the folder mutants/. This script draws the sample, so that a seed names
it, and prints the share of killed mutants of each module and the diffs of the survivors. Mutants already judged are not run again; delete
mutants/ to start anew. Needs a system with fork.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
FIRST = "edgesr.model.diffusion.x_conditioned_noise__mutmut_1"  # its run generates all of them
KILLED = {1, 3, 36, -24, 24, 152, 255}  # mutmut's exit codes for a failed test and for one that ran out of time


def mutmut(*words: str) -> str:
    """Run mutmut in the clone; stops the program with its last lines if it fails."""
    command = [sys.executable, "-m", "mutmut", *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"mutmut {words[0]} failed:\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


def judged() -> dict[str, int | None]:
    """The exit code of every mutant by name; None for those that were not run."""
    codes: dict[str, int | None] = {}
    for path in sorted((ROOT / "mutants").rglob("*.py.meta")):
        codes |= json.loads(path.read_text(encoding="utf-8"))["exit_code_by_key"]
    return codes


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, metavar="N", help="run N mutants drawn at random (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draw (default: 0)")
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="only mutants whose name contains this, such as model.diffusion"
    )
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="mutants at a time (default: 1)")
    arguments = parser.parse_args()

    mutmut("run", "--max-children", str(arguments.processes), FIRST)
    names = sorted(name for name in judged() if arguments.only in name)
    drawn = names
    if arguments.sample is not None and arguments.sample < len(names):
        drawn = sorted(random.Random(arguments.seed).sample(names, arguments.sample))
    if waiting := [name for name in drawn if judged()[name] is None]:
        mutmut("run", "--max-children", str(arguments.processes), *waiting)

    codes = judged()
    module = {name: name.rpartition(".")[0].removeprefix("edgesr.") for name in drawn}
    totals, killed = Counter(module.values()), Counter(module[name] for name in drawn if codes[name] in KILLED)
    print(f"{len(drawn)} of {len(names)} mutants, seed {arguments.seed}\n\n| module | mutants | killed |\n|---|---|---|")
    for each, total in sorted(totals.items()):
        print(f"| {each} | {total} | {killed[each] / total:.0%} |")
    print(f"| all | {len(drawn)} | {killed.total() / len(drawn):.1%} |\n")
    for name in drawn:
        if codes[name] not in KILLED:
            print(mutmut("show", name))


if __name__ == "__main__":
    main()
