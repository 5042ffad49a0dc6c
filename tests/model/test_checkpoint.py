"""What a checkpoint promises: every bit back, small files, and something whole to load whatever happens to the writer."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from awkward_tensors import awkward_tensors, bits

from edgesr.errors import UsageError
from edgesr.model import build, checkpoint
from edgesr.presets import get_preset

MB = 1_000_000

CHANGES = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir"}  # audit events of a process that changes the disk


SMALL = 4096  # bytes


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(checkpoint, "SHARD_BYTES", SMALL)


@pytest.fixture(scope="module")
def server():
    """Processes forked from one that has done nothing but import: a fresh interpreter takes seconds to import torch.

    A fork of this process could wait for ever for threads that torch has here alone, and would hold open what other tests use.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        pytest.skip("this system cannot fork")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pytest", "edgesr.model", "edgesr.model.checkpoint"])
    return context


def save_number(folder, n):
    """Write a checkpoint of several shards, every tensor full of n."""
    checkpoint.save(folder, {f"t{i}": torch.full((500,), float(n)) for i in range(8)}, {"n": n})


def save_for_ever(folder, n, written):
    checkpoint.SHARD_BYTES = SMALL
    while True:
        n += 1
        save_number(folder, n)
        written.value = n


def assert_begins(written, last):
    """Wait for a `save_for_ever` to have written something newer than `last`."""
    deadline = time.monotonic() + 20
    while written.value == last and time.monotonic() < deadline:
        time.sleep(0.001)
    assert written.value > last


def save_and_die(folder, n, left):
    """Save, but be killed just before change number `left` to the disk."""

    def count(event, arguments):
        nonlocal left
        if event in CHANGES:
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1

    checkpoint.SHARD_BYTES = SMALL
    sys.addaudithook(count)
    save_number(folder, n)


def test_every_bit_comes_back(tmp_path):
    tensors, state = awkward_tensors(), {"step": 12, "seconds": 0.1 + 0.2, "preset": "tiny"}
    checkpoint.save(tmp_path / "checkpoint", tensors, state)
    loaded, loaded_state = checkpoint.load(tmp_path / "checkpoint")
    assert loaded_state == state
    assert loaded.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert loaded[name].dtype == tensor.dtype
        assert loaded[name].shape == tensor.shape
        assert torch.equal(bits(loaded[name]), bits(tensor)), name


def test_shards_are_small_and_a_larger_tensor_is_cut(tmp_path):
    tensors = {f"t{i}": torch.rand(1_000_000) for i in range(5)} | {
        "large": torch.rand(1000, 1100, 3, 3),
        "row": torch.rand(1, 10_000),
    }
    tensors |= {f"small.{i}": torch.rand(3) for i in range(500)}  # headers count as well
    checkpoint.save(tmp_path / "checkpoint", tensors, {})
    sizes = [path.stat().st_size for path in (tmp_path / "checkpoint").iterdir()]
    assert max(sizes) <= 15 * MB
    assert len(sizes) <= 1 + -(-sum(sizes) // (10 * MB)), "needlessly many shards"
    loaded, _ = checkpoint.load(tmp_path / "checkpoint")
    assert loaded.keys() == tensors.keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in tensors.items())


def test_a_new_checkpoint_replaces_all_of_the_old_one(tmp_path):
    folder = tmp_path / "checkpoint"
    checkpoint.save(folder, {"a": torch.rand(4_000_000), "b": torch.rand(4_000_000)}, {"n": 1})
    checkpoint.save(folder, {"a": torch.zeros(2)}, {"n": 2})
    tensors, state = checkpoint.load(folder)
    assert state == {"n": 2}
    assert list(tensors) == ["a"]
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"], "left-overs beside it"


def test_what_was_replaced_counts_only_until_the_new_one_is_there(tmp_path):
    """As after a kill between the last rename and the removal of the previous content, and between the two renames."""
    checkpoint.save(tmp_path / "checkpoint", {"a": torch.ones(2)}, {"n": 2})
    checkpoint.save(tmp_path / "checkpoint.old", {"a": torch.zeros(2)}, {"n": 1})
    assert checkpoint.load(tmp_path / "checkpoint")[1] == {"n": 2}
    (tmp_path / "checkpoint").rename(tmp_path / "elsewhere")
    assert checkpoint.load(tmp_path / "checkpoint")[1] == {"n": 1}


def test_a_writer_killed_at_random_leaves_a_whole_checkpoint_old_or_new(tmp_path, small_shards, server):
    folder, chance, last = tmp_path / "checkpoint", random.Random(0), 0
    for _ in range(20):
        written = server.Value("q", last)
        writer = server.Process(target=save_for_ever, args=(folder, last, written))
        writer.start()
        assert_begins(written, last)
        time.sleep(chance.uniform(0.0, 0.03))
        writer.kill()
        writer.join()
        last = assert_whole(folder, written.value)


def test_a_writer_killed_before_any_change_to_the_disk_leaves_a_whole_checkpoint(tmp_path, small_shards, server):
    """Random kills rarely hit the instant between two renames; this one dies before each change by turns, and resumes."""
    folder, last = tmp_path / "checkpoint", 1
    save_number(folder, last)
    for left in itertools.count():
        writer = server.Process(target=save_and_die, args=(folder, last + 1, left))
        writer.start()
        writer.join()
        last = assert_whole(folder, last)
        if writer.exitcode == 0:
            break
        assert writer.exitcode == -signal.SIGKILL
    assert left > 10, "the kills did not reach the writing"


def test_a_reader_meets_a_whole_checkpoint_while_another_process_writes(tmp_path, small_shards, server):
    folder = tmp_path / "checkpoint"
    save_number(folder, 0)
    written = server.Value("q", 0)
    writer = server.Process(target=save_for_ever, args=(folder, 0, written))
    writer.start()
    try:
        assert_begins(written, 0)
        seen = set()
        for _ in range(200):
            try:
                tensors, state = checkpoint.load(folder)
            except UsageError:
                continue  # caught between two renames: to be told so is right
            assert all((tensor == state["n"]).all() for tensor in tensors.values())
            assert len(tensors) == 8
            seen.add(state["n"])
        assert len(seen) > 10
    finally:
        writer.kill()
        writer.join()


def test_resuming_after_a_kill_between_the_renames_still_loses_nothing(tmp_path, small_shards):
    folder = tmp_path / "checkpoint"
    save_number(folder, 1)
    folder.rename(tmp_path / "checkpoint.old")
    assert checkpoint.exists(folder)
    assert checkpoint.load(folder)[1] == {"n": 1}
    save_number(folder, 2)
    assert checkpoint.load(folder)[1] == {"n": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


@pytest.mark.parametrize(
    "damage", ["cut shard", "no shard", "cut state", "state of another kind", "no state", "no folder", "a file"]
)
def test_a_damaged_or_missing_checkpoint_is_one_line(tmp_path, small_shards, damage):
    folder = tmp_path / "checkpoint"
    save_number(folder, 1)
    shard, state = folder / "001.safetensors", folder / "state.json"
    match damage:
        case "cut shard":
            shard.write_bytes(shard.read_bytes()[:100])
        case "no shard":
            shard.unlink()
        case "cut state":
            state.write_text(state.read_text()[:-4])
        case "state of another kind":
            state.write_text("[1]")
        case "no state":
            state.unlink()
        case "no folder":
            shutil.rmtree(folder)
        case "a file":
            shutil.rmtree(folder)
            folder.write_text("not a folder")
    with pytest.raises(UsageError) as caught:
        checkpoint.load(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_of_another_preset_is_one_line(tmp_path):
    small, tiny = (build(get_preset(name)) for name in ("small", "tiny"))
    checkpoint.save(tmp_path / "checkpoint", {f"ema.{k}": v for k, v in small.state_dict().items()}, {})
    tensors, _ = checkpoint.load(tmp_path / "checkpoint")
    with pytest.raises(UsageError, match="does not fit this preset") as caught:
        checkpoint.load_into(tiny, tensors, "ema.", tmp_path / "checkpoint")
    assert "\n" not in str(caught.value)


def assert_whole(folder: Path, written: int) -> int:
    """All tensors and the state are of one checkpoint, not older than the last one known as written; return its number."""
    tensors, state = checkpoint.load(folder)
    assert state["n"] in (written, written + 1)
    assert sorted(tensors) == [f"t{i}" for i in range(8)]
    assert all((tensor == state["n"]).all() for tensor in tensors.values())
    return state["n"]


def test_a_full_disk_is_one_line_and_keeps_the_checkpoint_before(tmp_path):
    """A limit on the size of files stands in for the disk: the system refuses the write in the same place."""
    program = """
import resource, sys
from pathlib import Path
import torch
from edgesr.errors import EdgesrError
from edgesr.model import checkpoint
folder = Path(sys.argv[1])
checkpoint.save(folder, {"a": torch.zeros(10)}, {"step": 1})
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    checkpoint.save(folder, {"a": torch.ones(1_000_000)}, {"step": 2})
except EdgesrError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program, tmp_path / "run"], capture_output=True, text=True, check=True)
    assert "cannot write the checkpoint" in done.stdout
    assert done.stdout.count("\n") == 1
    tensors, state = checkpoint.load(tmp_path / "run")
    assert state["step"] == 1
    assert torch.equal(tensors["a"], torch.zeros(10))
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
