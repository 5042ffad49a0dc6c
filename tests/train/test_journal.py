"""What a run leaves to look at can be read back, and tells every step once."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from edgesr.errors import EdgesrError  # noqa: E402
from edgesr.train.journal import CAPTION, Journal  # noqa: E402


def lines(folder):
    return [json.loads(line) for line in (folder / "scalars.jsonl").read_text().splitlines()]


def test_figures_come_back_from_both_files(tmp_path):
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    journal = Journal(tmp_path)
    for step in (50, 100):
        journal.scalars(step, {"loss": step / 8, "held out/PSNR": 24.0 + step})
    assert lines(tmp_path) == [{"step": s, "loss": s / 8, "held out/PSNR": 24.0 + s} for s in (50, 100)]
    board = accumulators.EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    assert [(e.step, e.value) for e in board.Scalars("loss")] == [(50, 6.25), (100, 12.5)]
    assert [e.value for e in board.Scalars("held_out/PSNR")] == [74.0, 124.0]


def test_a_resumed_run_tells_no_step_twice(tmp_path):
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    first = Journal(tmp_path)
    for step in (10, 20, 30):
        first.scalars(step, {"loss": 1.0})
    with (tmp_path / "scalars.jsonl").open("a") as file:
        file.write('{"step": 40, "lo')  # killed in the middle of a line
    again = Journal(tmp_path, step=20)
    again.scalars(30, {"loss": 2.0})
    assert [(line["step"], line["loss"]) for line in lines(tmp_path)] == [(10, 1.0), (20, 1.0), (30, 2.0)]
    board = accumulators.EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    assert [(e.step, e.value) for e in board.Scalars("loss")] == [(10, 1.0), (20, 1.0), (30, 2.0)]


def test_a_grid_shows_every_picture_in_its_place(tmp_path):
    columns = {name: torch.rand(2, 3, 24, 32, generator=torch.Generator().manual_seed(i)) for i, name in enumerate("abc")}
    path = Journal(tmp_path).grid(1000, columns)
    assert path == tmp_path / "samples" / "step-0001000.png"
    sheet = np.asarray(Image.open(path))
    assert sheet.shape == (CAPTION + 48, 96, 3)
    for column, pictures in enumerate(columns.values()):
        for row, picture in enumerate(pictures):
            got = sheet[CAPTION + 24 * row :][:24, 32 * column :][:, :32]
            assert np.abs(got / 255 - picture.permute(1, 2, 0).numpy()).max() <= 0.5 / 255 + 1e-6


def test_a_folder_that_takes_nothing_is_one_line(tmp_path):
    journal = Journal(tmp_path / "out")
    (tmp_path / "out" / "samples").write_text("a file where a folder should be")
    with pytest.raises(EdgesrError, match="cannot write the figures") as caught:
        journal.grid(1, {"a": torch.zeros(1, 3, 8, 8)})
    assert "\n" not in str(caught.value)
