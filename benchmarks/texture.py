"""The ablations of texture in docs/ablations.md: `python benchmarks/texture.py --data PHOTOS --targets DIR --suites DIR --weights DIR`.

Every row continues from the same checkpoint of `tiny`, by default the fidelity form, which saw no teacher and no adversary, for the same
number of crops, with recipes/tiny/5-texture.toml changed as its name says. Finished rows are stored in docs/texture.json, so that the
script can be interrupted and resumed; --table prints them.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import numpy as np
from ablations import SUITES, upscale

from edgesr.evaluate.epd import EPD
from edgesr.evaluate.metrics import psnr_y, sharpness
from edgesr.evaluate.sqd import SQD
from edgesr.evaluate.suites import load_suite
from edgesr.model.checkpoint import exists
from edgesr.model.loading import load_averaged
from edgesr.train import run

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "docs" / "texture.json"
RECIPE = ROOT / "recipes" / "tiny" / "5-texture.toml"
STEPS = 500  # of 16 crops: an hour and a half for all rows on one core of a Zen 3
COMMON = (f"optimizer.steps={STEPS}", "optimizer.warmup=30", "log.every=100", "log.validate=1000000", "log.checkpoint=100")
ADVERSARY = (
    "loss.adversarial.weight=0.006",
    "loss.adversarial.start=0.0",
    "loss.adversarial.ramp=0.15",
    "loss.adversarial.network=highpass-patch",
    "loss.adversarial.kind=relativistic",
    "loss.adversarial.real=truth",
    "loss.adversarial.update_every=2",
)
ROWS: dict[str, tuple[str, tuple[str, ...]]] = {
    "truth": ("no teacher: the photograph is the target", ("data.targets=[]",)),
    "teacher": ("teacher's texture, the photograph's coarse structure", ()),
    "both": ("the same with 0.3 of the photograph in the target", ("loss.truth=0.3",)),
    "whole": ("features of whole crops", ("loss.perceptual_window=0",)),
    "no-features": ("L1 alone", ("loss.perceptual=0.0",)),
    "adversary": ("a light adversary on high-pass luma", ADVERSARY),
}
COLUMNS = {"psnr_y": 2, "sqd": 4, "epd": 4, "sharpness": 3}


def score(checkpoint: Path, suites: Path, weights: Path) -> dict[str, dict[str, float]]:
    """Means of COLUMNS on the blind suites."""
    model, _ = load_averaged(checkpoint)
    metrics = {"psnr_y": psnr_y, "sqd": SQD(weights), "epd": EPD(), "sharpness": sharpness}
    scores = {}
    for name in SUITES:
        pairs = [(upscale(model.eval(), pair.lr), pair.hr) for pair in load_suite(suites / name) if pair.hr is not None]
        scores[name] = {key: float(np.mean([metric(out, hr) for out, hr in pairs])) for key, metric in metrics.items()}
    return scores


def table() -> str:
    """What is finished as Markdown."""
    results = json.loads(RESULTS.read_text())
    lines = [f"| | {' | '.join(f'{suite} {column}' for suite in SUITES for column in COLUMNS)} |", "|---" * 9 + "|"]
    for name, (title, _) in ROWS.items():
        if name in results:
            cells = [f"{results[name][suite][column]:.{digits}f}" for suite in SUITES for column, digits in COLUMNS.items()]
            lines.append(f"| **{name}**: {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS), metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--data", type=Path, help="photographs")
    parser.add_argument("--targets", type=Path, help="targets of a teacher, by `edgesr data teach` with the same recipe")
    parser.add_argument("--suites", type=Path, help="folder of the blind suites")
    parser.add_argument("--weights", type=Path, help="folder with SqueezeNet's weights")
    parser.add_argument("--init", type=Path, default=ROOT / "checkpoints" / "tiny-fidelity")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "texture")
    parser.add_argument("--table", action="store_true", help="only print the finished rows")
    arguments = parser.parse_args()
    os.chdir(ROOT)  # the recipe's paths are relative to it
    for name in () if arguments.table else arguments.rows:
        results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        if name in results:
            continue
        folder = arguments.runs / name
        change = [*COMMON, f"data.folder={arguments.data}", f"init={arguments.init}", *ROWS[name][1]]
        if name != "truth":
            change.append(f'data.targets=[{{folder = "{arguments.targets}"}}]')
        figures = run.train(RECIPE, folder, resume=exists(folder / "checkpoint"), overrides=change)
        result = score(folder / "checkpoint", arguments.suites, arguments.weights)
        results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}  # another process may have added to it
        results[name] = result | {"held out": figures}
        RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
    print(table())


if __name__ == "__main__":
    main()
