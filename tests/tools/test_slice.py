"""The slice of a rented GPU, from packing at home to figures at home, on a processor with the smallest sizes: nothing of it may be
tried there for the first time."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import ENVIRONMENT
from PIL import Image

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from train.photographs import make_folder, photograph

from edgesr import cli
from edgesr.data.shards import pack
from edgesr.model import checkpoint

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "recipes" / "slice" / "paper.toml"
SMALL = [
    *("preset=tiny", "data.hr_size=96", "data.block=2", "data.uses=2", "data.held_out=2"),
    *("precision=float32", "loss.perceptual=0", "loss.perceptual_window=0", "optimizer.warmup=2"),
    *("log.crops=2", "log.least_latent_db=-inf"),
    f"model.hr_encoder={ROOT / 'checkpoints' / 'tiny'}",
]


@pytest.fixture
def there(tmp_path):
    """Run the driver as on the rented machine; return what it printed."""

    def run(*words, code=0):
        places = {"KEEP": str(tmp_path / "keep"), "OUT": str(tmp_path / "out"), "OMP_NUM_THREADS": "1"}
        shutil.rmtree(tmp_path / "out", ignore_errors=True)  # empty before each call
        done = subprocess.run(
            [sys.executable, ROOT / "tools" / "slice.py", *map(str, words)],
            cwd=ROOT, env={**ENVIRONMENT, **os.environ, **places, "PYTHONPATH": ""}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout if code == 0 else done.stderr

    return run


@pytest.mark.timeout(600)  # five processes: on a busy machine each waits for its start
def test_from_photographs_to_figures(there, tmp_path):
    shards = pack(make_folder(tmp_path) / "photographs", tmp_path / "shards", 500_000).shards
    teacher = tmp_path / "nearest.param"  # repeats pixels
    teacher.write_text("7767517\n2 2\nInput in 0 1 data\nInterp up 1 1 data output 0=1 1=4.0 2=4.0\n")
    teacher.with_suffix(".bin").touch()
    assert "6 of 6 pictures" in there("unpack", *shards, "--paint", 4, "--teacher", teacher)

    assert "run the action 'smoke' first" in there("train", RECIPE, "--minutes", "0.05", code=1)
    sizes = ["--batches", "2", "4", "--steps", "8", "--no-compile"]
    printed = there("smoke", RECIPE, "--minutes", "0.2", *sizes, "--set", *SMALL)
    assert printed.count(" crops/s ") == 2
    assert printed.count("<- chosen") == 1
    plan = json.loads((tmp_path / "keep" / "plan.json").read_text())
    assert plan["batch"] in (2, 4)
    assert f"plan: batch {plan['batch']}, compile false, {plan['steps']} steps in 0.2 minutes" in printed
    assert plan["steps"] == max(0, int(plan["crops_per_second"] * (12 - plan["start_seconds"]) / plan["batch"]))

    steps = []
    for minutes in (
        0.15,
        0.15,
        0.5,
        1.5,
    ):  # the second goes on, as after a killed call; a busy machine needs more to take a step
        assert "1 parts" in there("train", RECIPE, "--minutes", minutes, "--set", *SMALL)
        steps.append(checkpoint.load_state(tmp_path / "keep" / "run" / "checkpoint")["step"])
        if len(steps) > 1 and steps[-1] > 0:
            break
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir()} >= {"part-00", "log.txt"}
    assert max(path.stat().st_size for path in out.rglob("*")) <= 16 * 2**20
    log = (out / "log.txt").read_text()
    assert log.count("held out") >= 2
    assert "by the clock" in log
    assert "there are: part-00" in there("part", 1, code=1)
    assert "part-00" in there("part", 0)

    home = tmp_path / "home" / "checkpoint"
    assert cli.main(["checkpoint", "unpack", str(out / "part-00"), str(home)]) == 0
    tensors, state = checkpoint.load(home)
    assert state["step"] == steps[-1] > 0
    assert state["reduced"] == ["int8", "only ema"]
    assert not any("hr_encoder" in name for name in tensors)
    evaluate(home, tmp_path)


def evaluate(weights, folder):
    """Score the checkpoint as it came home on a suite of one picture."""
    for name, side in (("HR", 96), ("LR", 24)):
        (folder / "suite" / name).mkdir(parents=True)
        photograph(9, 96).resize((side, side), Image.Resampling.BICUBIC).save(folder / "suite" / name / "a.png")
    words = ["--system", f"ours=edgesr:tiny:weights={weights}", "--metrics", "psnr", "--threads", "1"]
    places = ["--cache", str(folder / "cache"), "--json", str(folder / "result.json")]
    assert cli.main(["evaluate", str(folder / "suite"), *words, *places]) == 0
    row = json.loads((folder / "result.json").read_text())["suites"]["suite"]["ours"]
    assert 15 < row["psnr"] < 60
