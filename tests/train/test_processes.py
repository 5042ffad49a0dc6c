"""Several processes take the very steps that one would take with the same global batch."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")

from photographs import make_folder, write_recipe

from edgesr.errors import UsageError
from edgesr.model import checkpoint
from edgesr.train import run
from edgesr.train.processes import Processes

# As for two GPUs, which `--device cpu` of the training leaves alone; `accelerate launch --cpu` would want MPI.
LAUNCH = [
    *(sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"),
    *("--mixed_precision", "no", "--dynamo_backend", "no"),  # else it warns that it chose them
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("processes"))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def launch(recipe, out, *arguments):
    command = [
        *LAUNCH,
        "--main_process_port",
        str(free_port()),
        "-m",
        "edgesr",
        "train",
        str(recipe),
        "--out",
        str(out),
        "--device",
        "cpu",
        *arguments,
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, check=False)


def test_two_processes_are_one_with_the_same_global_batch(folder, tmp_path):
    recipe = write_recipe(folder, "end-to-end")
    finished = launch(recipe, tmp_path / "two", "--set", "data.batch=4")
    assert finished.returncode == 0, finished.stderr[-2000:]
    run.train(recipe, tmp_path / "one", device="cpu", overrides=["data.batch=4"])
    one, two = (checkpoint.averaged(checkpoint.load(tmp_path / n / "checkpoint")[0]) for n in ("one", "two"))
    begun = checkpoint.averaged({f"net.{k}": v for k, v in run.Networks(run.get_preset("tiny"), 0).state_dict().items()})
    moved = max(float((one[name] - begun[name]).abs().max()) for name in one)
    apart = max(float((one[name] - two[name]).abs().max()) for name in one)
    assert moved > 1e-3
    # Adam divides by the size of the gradient: the order of a sum shows in the few weights whose gradient is near zero.
    assert apart < 0.02 * moved
    assert apart > 0, "bit for bit the same: was it two processes?"
    texts = [(tmp_path / name / "log.txt").read_text() for name in ("one", "two")]
    assert texts[0].count("step 5 ") == texts[1].count("step 5 ") == 1, "one process writes"


def test_a_batch_that_the_processes_cannot_share_is_one_line(folder, tmp_path, monkeypatch):
    joined = Processes(SimpleNamespace(process_index=0, num_processes=2, device=torch.device("cpu")))
    monkeypatch.setattr(run, "join_processes", lambda device: joined)
    with pytest.raises(UsageError, match=r"'data\.batch' must be a multiple of the 2 processes"):
        run.train(write_recipe(folder, "autoencoder"), tmp_path / "out", device="cpu", overrides=["data.batch=3"])
    assert not (tmp_path / "out").exists()
