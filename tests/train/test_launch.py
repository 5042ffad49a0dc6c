"""Training in several processes of one CPU: how many, and that they start, fail and stop as one."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")

from photographs import make_folder, write_recipe

from edgesr import cli
from edgesr.errors import UsageError
from edgesr.model import checkpoint
from edgesr.train import launch, run
from edgesr.train.cores import cores, largest_share
from edgesr.train.launch import Training

ADVERSARY = """
[loss.adversarial]
weight = 0.1
start = 0.0
network = "highpass-patch"
kind = "relativistic"
width = 8
learning_rate = 1e-3
"""
LONG = ("optimizer.steps=100000", "log.validate=100000", "log.checkpoint=1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("launch"))


def words(recipe, out, *arguments, settings=()):
    named = ["train", str(recipe), "--out", str(out), "--device", "cpu", "--processes", "2", *arguments]
    return [*named, "--set", "data.batch=4", *settings]


@pytest.fixture
def started():
    """Start the command as a process of its own, which can get signals; none outlives its test."""
    running = []

    def start(*arguments, **options):
        command = [sys.executable, "-m", "edgesr", *words(*arguments, **options)]
        running.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.wait()


@pytest.fixture
def finished(capfd):
    """Run the command in this process, which has imported torch already, unlike those that it starts; return what it said."""

    def run_here(*arguments, **options):
        capfd.readouterr()
        code = cli.main(words(*arguments, **options))
        stderr = capfd.readouterr().err
        assert "Traceback" not in stderr
        return code, stderr

    return run_here


def said(stderr):
    return [line for line in stderr.splitlines() if line.startswith("edgesr: ")]


def lines_until(process, text):
    """Read its standard error up to a line with `text`."""
    for line in process.stderr:
        if text in line:
            return
    pytest.fail(f"no line with {text!r}")


def children_of(pid):
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False).stdout
    return [int(word) for word in listed.split()]


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def gone(pids, seconds=60):
    deadline = time.monotonic() + seconds
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not any(map(alive, pids))


def test_two_processes_train_what_one_does_and_stop_in_time(folder, tmp_path, finished):
    """Four steps; then as many as a moment allows, be it none; then to the end."""
    recipe = write_recipe(folder, "autoencoder", more=ADVERSARY)
    code, stderr = finished(recipe, tmp_path / "two", settings=("optimizer.steps=4",))
    assert code == 0, stderr
    assert "2 processes, float32" in stderr or "2 processes, bfloat16" in stderr
    assert stderr.count(" step 3 ") == 1
    run.train(recipe, tmp_path / "one", device="cpu", overrides=["data.batch=4", "optimizer.steps=4"])
    one, two = (checkpoint.averaged(checkpoint.load(tmp_path / n / "checkpoint")[0]) for n in ("one", "two"))
    begun = checkpoint.averaged({f"net.{k}": v for k, v in run.Networks(run.get_preset("tiny"), 0).state_dict().items()})
    moved, apart = (max(float((one[name] - other[name]).abs().max()) for name in one) for other in (begun, two))
    assert moved > 1e-3
    # Adam divides by the size of the gradient: the order of a sum shows in the few weights whose gradient is near zero.
    assert 0 < apart < 0.02 * moved
    code, stderr = finished(recipe, tmp_path / "two", "--resume", "--minutes", "0.001", settings=("optimizer.steps=100",))
    assert code == 0, stderr
    assert 4 <= checkpoint.load(tmp_path / "two" / "checkpoint")[1]["step"] < 100
    code, stderr = finished(recipe, tmp_path / "two", "--resume", settings=("optimizer.steps=6",))
    assert (code, checkpoint.load(tmp_path / "two" / "checkpoint")[1]["step"]) == (0, 6), stderr


def test_what_is_wrong_is_said_once(folder, tmp_path, finished):
    recipe = write_recipe(folder, "autoencoder")
    for setting, code, word in (
        ("data.folder=nowhere", 2, "nowhere"),
        ("optimizer.learning_rate=1e30", 1, "lower optimizer.learning_rate"),
    ):
        got, stderr = finished(recipe, tmp_path / "out", settings=(setting,))
        assert (got, len(said(stderr))) == (code, 1), stderr
        assert word in stderr


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no signals here")
def test_a_process_that_is_killed_ends_all_with_one_line(folder, tmp_path, started):
    recipe = write_recipe(folder, "autoencoder")
    running = started(recipe, tmp_path, settings=LONG)
    lines_until(running, "step 2 ")
    children = children_of(running.pid)
    os.kill(children[-1], signal.SIGKILL)
    _, stderr = running.communicate(timeout=120)
    assert running.returncode == 1
    assert [line for line in said(stderr) if "of 2 ended (signal 9" in line] == said(stderr) != []
    assert gone(children)
    assert checkpoint.load(tmp_path / "checkpoint")[1]["step"] >= 1


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no signals here")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopping_it_ends_all_with_one_line(folder, tmp_path, started, number):
    recipe = write_recipe(folder, "autoencoder")
    running = started(recipe, tmp_path, settings=LONG)
    lines_until(running, "step 2 ")
    children = children_of(running.pid)
    os.killpg(running.pid, number)  # as Ctrl-C at a terminal: every process gets it
    _, stderr = running.communicate(timeout=120)
    assert running.returncode == 128 + number
    assert said(stderr) == ["edgesr: stopped"]
    assert "Traceback" not in stderr
    assert gone(children)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no signals here")
def test_processes_do_not_outlive_a_launcher_that_is_killed(folder, tmp_path, started):
    recipe = write_recipe(folder, "autoencoder")
    running = started(recipe, tmp_path, settings=LONG)
    lines_until(running, "step 1 ")
    children = children_of(running.pid)
    assert len(children) == 2
    running.kill()
    running.wait()
    running.stderr.close()
    assert gone(children)


def counted(monkeypatch, recipe, wanted, available, *settings, device="cpu"):
    """How many processes are started for a recipe on that many cores."""
    monkeypatch.setattr(launch, "cores", lambda: list(range(available)))
    started = []

    @contextlib.contextmanager
    def crew(training, began, count, folder):
        started.append(count)
        yield argparse.Namespace(wait=lambda: None)

    monkeypatch.setattr(launch, "_Crew", crew)
    monkeypatch.setattr(launch, "train", lambda *arguments, **fields: started.append(1))
    launch.launch(Training(str(recipe), "out", False, None, device, list(settings)), wanted)
    return started


@pytest.mark.parametrize(("available", "batch", "count"), [(1, 16, 1), (2, 16, 2), (6, 16, 4), (64, 8, 8), (3, 7, 1)])
def test_by_default_there_is_one_a_core_as_far_as_the_batch_divides(monkeypatch, folder, available, batch, count):
    recipe = write_recipe(folder, "autoencoder")
    assert counted(monkeypatch, recipe, None, available, f"data.batch={batch}") == [count]
    assert largest_share(batch, available) == count


def test_a_number_is_taken_as_it_is(monkeypatch, folder):
    recipe = write_recipe(folder, "autoencoder")
    assert counted(monkeypatch, recipe, 4, 1, "data.batch=8") == [4]
    assert counted(monkeypatch, recipe, 1, 8, "data.batch=8") == [1]
    with pytest.raises(UsageError, match=r"'data\.batch' must be a multiple of the 3 processes, not 8"):
        counted(monkeypatch, recipe, 3, 8, "data.batch=8")


def test_a_gpu_has_one_process_and_its_launcher_others(monkeypatch, folder):
    recipe = write_recipe(folder, "autoencoder")
    monkeypatch.setattr(launch, "device_called", lambda name: torch.device("cuda"))
    assert counted(monkeypatch, recipe, None, 8, device="auto") == [1]
    with pytest.raises(UsageError, match="accelerate launch"):
        counted(monkeypatch, recipe, 2, 8, device="auto")


def test_under_another_launcher_this_process_joins(monkeypatch, folder):
    recipe = write_recipe(folder, "autoencoder")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert counted(monkeypatch, recipe, None, 8) == [1]
    with pytest.raises(UsageError, match="omit it"):
        counted(monkeypatch, recipe, 2, 8)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no affinity")
def test_a_process_that_is_held_to_one_core_has_one():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert cores() == [min(before)]
    finally:
        os.sched_setaffinity(0, before)
    assert 1 <= len(cores()) <= len(before)
    assert set(cores()) <= before


@pytest.mark.parametrize("value", ["0", "many", "1.5"])
def test_a_number_of_processes_that_means_nothing_is_one_line(folder, capsys, value):
    recipe = write_recipe(folder, "autoencoder")
    assert cli.main(["train", str(recipe), "--out", "out", "--processes", value]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "--processes" in error
