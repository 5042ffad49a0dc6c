"""The output of a run for inspection: scalars as JSON lines and for TensorBoard, and grids of sample pictures."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from edgesr.atomic import new_file, write_whole
from edgesr.errors import EdgesrError, UsageError, install_command, one_line

logger = logging.getLogger("edgesr.train")

CAPTION = 16  # px above the columns of a grid


class Journal:
    """Writes to `folder`: scalars.jsonl, samples/*.png and, where TensorBoard is installed, tensorboard/.

    `step` is where the run continues: lines that an interrupted run wrote for later steps are dropped, so that no step appears twice.
    Raises UsageError if scalars.jsonl was written by another program; EdgesrError, here and in every method, if a write fails.
    """

    def __init__(self, folder: Path, step: int = 0) -> None:
        self.folder, self.file = folder, folder / "scalars.jsonl"
        kept = [line for line in _lines(self.file) if _step(self.file, line) <= step]
        with _writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(self.file, "".join(f"{line}\n" for line in kept).encode())
            self._board = _tensorboard(folder / "tensorboard", step)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Add one line: the step and its metrics by name."""
        with _writing(self.folder):
            with self.file.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, **values}) + "\n")
            if self._board is not None:
                for name, value in values.items():
                    self._board.add_scalar(name.replace(" ", "_"), value, step)
                self._board.flush()

    def grid(self, step: int, columns: dict[str, Tensor]) -> Path:
        """Write a PNG whose columns are `columns`, (N, 3, H, W) in [0, 1] each, under their names; return its path.

        TensorBoard shows it among the images.
        """
        sheet = _sheet(columns)
        path = self.folder / "samples" / f"step-{step:07d}.png"
        with _writing(self.folder):
            path.parent.mkdir(exist_ok=True)
            with new_file(path) as stream:
                sheet.save(stream, format="PNG")
            if self._board is not None:
                self._board.add_image("samples", np.asarray(sheet), step, dataformats="HWC")
                self._board.flush()
        return path


def _lines(file: Path) -> list[str]:
    """The complete lines of the file; a last line truncated by a crash is dropped."""
    try:
        return file.read_text(encoding="utf-8").split("\n")[:-1]
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: cannot be read ({error}); move it away, or choose another folder for the run") from None


def _step(file: Path, line: str) -> int:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, TypeError, KeyError):
        raise UsageError(
            f"{file}: holds a line that no run wrote, {line[:40]!r}; move the file away, or choose another folder for the run"
        ) from None


def _sheet(columns: dict[str, Tensor]) -> Image.Image:
    count, _, height, width = next(iter(columns.values())).shape
    sheet = Image.new("RGB", (len(columns) * width, CAPTION + count * height), "white")
    draw = ImageDraw.Draw(sheet)
    for column, (name, pictures) in enumerate(columns.items()):
        draw.text((column * width + 4, 2), name, fill="black")
        levels = (pictures.detach().float() * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
        for row, picture in enumerate(levels):
            sheet.paste(Image.fromarray(picture), (column * width, CAPTION + row * height))
    return sheet


def _tensorboard(folder: Path, step: int) -> Any:
    """A writer that hides what the run logged earlier after `step`; None, with one log message, if TensorBoard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        logger.info("TensorBoard is not installed (%s): the figures go to scalars.jsonl alone", install_command("train"))
        return None
    return SummaryWriter(str(folder), purge_step=step + 1)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EdgesrError(f"{folder}: cannot write the figures there ({one_line(error)}); make room and --resume") from None
