"""Fuzz a reader of this package: bytes that its own branches guide are thrown at it until it raises what it does not document.

    pip install -e '.[heic,jxl,train,attack]'  # Linux, Python 3.11 to 3.13
    python fuzz/run.py png --seconds 60
    python fuzz/run.py all --seconds 60        # each of them, one after the other

Any other exception, a run of more than 10 s and more than 2 GB of memory are finds: the input is kept in build/fuzz/TARGET and the exit
code is 1. `python fuzz/run.py png FILE` runs such a file again. What was found interesting before is where the next run begins.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parents[1]
TIMEOUT, MEMORY, LONGEST = 10, 2048, 8192  # s, MB, bytes of an input


def main() -> None:
    """See the module's docstring."""
    sys.path.insert(0, str(Path(__file__).parent))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    from targets import TARGETS

    parser.add_argument("target", choices=[*TARGETS, "all"])
    parser.add_argument("files", nargs="*", type=Path, help="run these alone")
    parser.add_argument("--seconds", type=int, default=60, metavar="N", help="how long (default: 60)")
    arguments = parser.parse_args()
    if arguments.target == "all":
        sys.exit(_all(list(TARGETS), arguments.seconds))
    try:
        import atheris
    except ImportError:
        sys.exit("fuzzing needs the package 'atheris': pip install 'edgesr[attack]'")

    target = TARGETS[arguments.target]
    with atheris.instrument_imports(include=list(target.modules)):
        seeds = target.seeds()
        with suppress(Exception):  # imports the modules; the fuzzer reports the error
            target.run(seeds[0])

    def once(data: bytes) -> None:
        with suppress(target.documented):
            target.run(data)

    folder = ROOT / "build" / "fuzz" / arguments.target
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for index, seed in enumerate(seeds):
        (corpus / f"seed-{index:02}").write_bytes(seed)
    options = [f"-timeout={TIMEOUT}", f"-rss_limit_mb={MEMORY}", f"-artifact_prefix={folder}/find-"]
    if target.words:
        words = folder / "words"
        lines = ("".join(f"\\x{byte:02x}" for byte in word) for word in target.words)
        words.write_text("".join(f'"{line}"\n' for line in lines), encoding="ascii")
        options.append(f"-dict={words}")
    if arguments.files:
        options += map(str, arguments.files)
    else:
        options += [
            f"-max_total_time={arguments.seconds}",
            f"-max_len={LONGEST}",
            "-print_final_stats=1",
            "-verbosity=0",
            str(corpus),
        ]
    atheris.Setup([sys.argv[0], *options], once)
    atheris.Fuzz()


def _all(names: list[str], seconds: int) -> int:
    """Fuzz each target in a process of its own; returns 1 if there was a find."""
    failed = []
    for name in names:
        print(f"== {name}", flush=True)
        if subprocess.run([sys.executable, __file__, name, "--seconds", str(seconds)], check=False).returncode:
            failed.append(name)
    print(f"finds in: {', '.join(failed)}" if failed else "no finds")
    return 1 if failed else 0


if __name__ == "__main__":
    main()
