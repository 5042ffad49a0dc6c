"""A worker by itself: what it finds, what it repeats, and what it gives up."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cluster_runs import make_pictures
from command_line import ENVIRONMENT
from PIL import Image

from edgesr.batch import ledger
from edgesr.batch.plan import Plan, Work
from edgesr.batch.session import Session, task_for
from edgesr.batch.source import Source
from edgesr.batch.storage import Folder
from edgesr.batch.worker import Worker
from edgesr.presets import WEIGHTS
from edgesr.upscaling.file import Options

NETWORK = {
    "model": "tiny",
    "fidelity": 0.0,
    "precision": "auto",
    "engine": "auto",
    "tile": "auto",
    "seed": 0,
    "weights": None,
    "steps": 1,
    "threads": 1,
}

# Ends itself, by the kernel, when a picture takes more than a second of CPU time: as if its memory did not suffice.
MORTAL = """
import pickle, resource, sys
from edgesr.batch.worker import Worker
from edgesr.presets import WEIGHTS
task, unit = pickle.load(sys.stdin.buffer)
worker = Worker(task)
used = resource.getrusage(resource.RUSAGE_SELF)
limit = int(used.ru_utime + used.ru_stime) + 4
resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
worker.rows_of(0, unit)
"""


@pytest.fixture
def task(tmp_path):
    return task_for(Folder(str(tmp_path / "large")), NETWORK, Options())


def work_for(path: Path, *, replace: bool = False) -> Work:
    return Work(str(path), f"{path.stem}_4x{path.suffix}", path.stat().st_size, "1", replace)


def test_a_unit_that_is_in_the_ledger_is_not_done_again(task, tmp_path):
    unit = [work_for(path) for path in make_pictures(tmp_path / "photos", 3)]
    worker = Worker(task)
    rows = worker.rows_of(7, unit)
    assert [row["status"] for row in rows] == ["done"] * 3
    for path in (tmp_path / "photos").rglob("*.*"):
        path.unlink()
    assert worker.rows_of(7, unit) == rows


@pytest.mark.parametrize(("precision", "file"), [("fp32", "tiny.onnx"), ("int8", "tiny-int8.onnx")])
@pytest.mark.parametrize("weights", [None, str(WEIGHTS)])
def test_the_ledger_has_the_hash_of_the_file_that_ran_and_a_later_run_accepts_it(tmp_path, precision, file, weights):
    photos, large = tmp_path / "photos", Folder(str(tmp_path / "large"))
    make_pictures(photos, 1)
    task = task_for(large, {**NETWORK, "precision": precision, "weights": weights}, Options())
    choices = {"overwrite": False, "skip_existing": False, "retry_failed": False}
    for expected in ("do", "kept"):
        with Plan() as plan:
            session = Session(plan, Source(str(photos), suffix="_4x", format=None, column=None), large, task)
            assert session.decide(**choices) == {expected: 1}
            for unit in plan.units(1):
                (row,) = Worker(task).rows_of(0, unit)
                assert row["precision"] == precision
                assert row["weights"] == hashlib.sha256(WEIGHTS.joinpath(file).read_bytes()).hexdigest()


def test_a_result_of_a_killed_worker_is_kept_and_a_file_of_the_users_too(task, tmp_path):
    unit = [work_for(path) for path in make_pictures(tmp_path / "photos", 2)]
    large = tmp_path / "large"
    worker = Worker(task)
    assert [row["status"] for row in worker.rows_of(0, unit)] == ["done", "done"]
    before = (large / unit[0].output).stat()
    (large / unit[1].output).write_bytes(b"the user's own")
    again = worker.rows_of(1, unit)  # as if the first unit's row had not been written any more
    assert [row["status"] for row in again] == ["done", "failed"]
    assert "exists already" in again[1]["error"]
    after = (large / unit[0].output).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert (large / unit[1].output).read_bytes() == b"the user's own"


def test_a_picture_that_kills_every_worker_is_given_up_and_the_others_are_done(task, tmp_path):
    import pickle

    photos = tmp_path / "photos"
    good = make_pictures(photos, 2)
    huge = photos / "huge.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (2400, 2400, 3), dtype=np.uint8)).save(huge)
    unit = [work_for(path) for path in (good[0], huge, good[1])]
    deaths = 0
    while True:
        done = subprocess.run(
            [sys.executable, "-c", MORTAL], input=pickle.dumps((task, unit)), env=ENVIRONMENT, check=False, timeout=100
        )
        if done.returncode == 0:
            break
        assert done.returncode in (-signal.SIGKILL, -signal.SIGXCPU)
        deaths += 1
        assert deaths < 5
    assert deaths == 3
    rows = ledger.decoded((tmp_path / "large" / ledger.part_of(task.run, 0)).read_bytes(), "part")
    assert [row["status"] for row in rows] == ["done", "failed", "done"]
    assert rows[1]["error"].startswith(f"{huge}: 3 workers died at this picture")
