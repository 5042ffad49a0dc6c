"""Checkpoints written behind the training hold the step at which they were begun, and none is lost or half written."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from edgesr.errors import EdgesrError
from edgesr.model import checkpoint
from edgesr.train.writer import Writer


def test_a_checkpoint_is_that_of_its_step_whatever_the_next_steps_do(tmp_path):
    folder, weights = tmp_path / "checkpoint", torch.zeros(5_000_000)
    with Writer(folder) as writer:
        for step in range(3):
            weights.fill_(step)
            writer.save({"weights": weights}, {"step": step})
            weights.fill_(-1)
    tensors, state = checkpoint.load(folder)
    assert state["step"] == 2
    assert (tensors["weights"] == 2).all()


def test_the_last_checkpoint_is_whole_although_the_training_fails(tmp_path):
    with pytest.raises(RuntimeError, match="a step"), Writer(tmp_path / "checkpoint") as writer:
        writer.save({"weights": torch.ones(5_000_000)}, {"step": 1})
        raise RuntimeError("a step")
    assert (checkpoint.load(tmp_path / "checkpoint")[0]["weights"] == 1).all()
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_a_checkpoint_that_cannot_be_written_stops_the_training_at_the_next(tmp_path):
    (tmp_path / "out").write_text("a file, where a folder is wanted")
    folder = tmp_path / "out" / "checkpoint"
    with Writer(folder) as writer:
        writer.save({"weights": torch.ones(1)}, {})
        with pytest.raises(EdgesrError, match="cannot write the checkpoint"):
            writer.save({"weights": torch.ones(1)}, {})
    with pytest.raises(EdgesrError, match="cannot write the checkpoint"), Writer(folder) as writer:
        writer.save({"weights": torch.ones(1)}, {})
