"""What a run leaves to look at can be read back, and tells every step once."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from edgesr.errors import EdgesrError, UsageError, install_command
from edgesr.train.journal import CAPTION, Journal


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


def test_tensorboard_shows_the_grid_under_its_step(tmp_path):
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    path = Journal(tmp_path).grid(500, {"lr": torch.zeros(1, 3, 8, 40), "hr": torch.ones(1, 3, 8, 40)})
    board = accumulators.EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    (event,) = board.Images("samples")
    shown = np.asarray(Image.open(io.BytesIO(event.encoded_image_string)))
    assert event.step == 500
    np.testing.assert_array_equal(shown, np.asarray(Image.open(path)))


def test_captions_tell_the_columns_apart(tmp_path):
    sheet = np.asarray(
        Image.open(Journal(tmp_path).grid(1, {"bicubic": torch.zeros(1, 3, 8, 64), "": torch.zeros(1, 3, 8, 64)}))
    )
    assert sheet[:CAPTION, :64].min() < 100  # letters
    assert sheet[:CAPTION, 64:].min() == 255


def test_a_run_begun_anew_in_the_same_folder_starts_an_empty_record(tmp_path):
    Journal(tmp_path).scalars(10, {"loss": 1.0})
    Journal(tmp_path).scalars(5, {"loss": 2.0})
    assert lines(tmp_path) == [{"step": 5, "loss": 2.0}]


def test_without_tensorboard_it_goes_on_and_says_so(tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    monkeypatch.setattr(logging.getLogger("edgesr.train"), "propagate", True)
    with caplog.at_level(logging.INFO, "edgesr.train"):
        journal = Journal(tmp_path)
        journal.scalars(1, {"loss": 1.0})
        journal.grid(1, {"hr": torch.zeros(1, 3, 8, 8)})
    assert len({record.message for record in caplog.records if install_command("train") in record.message}) == 1
    assert lines(tmp_path) == [{"step": 1, "loss": 1.0}]
    assert not (tmp_path / "tensorboard").exists()


def test_a_file_of_another_program_is_left_as_it_is(tmp_path):
    (tmp_path / "scalars.jsonl").write_text("step,loss\n1,2\n")
    with pytest.raises(UsageError, match=r"scalars\.jsonl.*move the file away"):
        Journal(tmp_path)
    assert (tmp_path / "scalars.jsonl").read_text() == "step,loss\n1,2\n"


FULL = """
import resource, sys
from pathlib import Path
from edgesr.errors import EdgesrError
from edgesr.train.journal import Journal
sys.modules["torch.utils.tensorboard"] = None
journal = Journal(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (400, 400))  # a disk with room for 400 bytes a file
try:
    for step in range(100):
        journal.scalars(step, {"loss": 0.5})
except EdgesrError as error:
    print(step, error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on a file's size")
def test_a_full_disk_is_one_line_and_what_was_written_stays(tmp_path):
    ran = subprocess.run([sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, check=True)
    step, message = ran.stdout.strip().split(" ", 1)
    assert "cannot write the figures" in message
    assert "\n" not in message
    assert int(step) > 5
    assert [line["step"] for line in lines(Journal(tmp_path, step=100).folder)] == list(range(int(step)))


def test_a_folder_that_takes_nothing_is_one_line(tmp_path):
    journal = Journal(tmp_path / "out")
    (tmp_path / "out" / "samples").write_text("a file where a folder should be")
    with pytest.raises(EdgesrError, match="cannot write the figures") as caught:
        journal.grid(1, {"a": torch.zeros(1, 3, 8, 8)})
    assert "\n" not in str(caught.value)
