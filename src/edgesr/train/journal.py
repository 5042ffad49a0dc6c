"""What a run leaves to look at: scalars as CSV lines and for TensorBoard, and grids of sample pictures."""

from __future__ import annotations

import json
import logging
from contextlib import contextmanager
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw
from torch import Tensor

from edgesr.errors import EdgesrError

logger = logging.getLogger("edgesr.train")

CAPTION = 16  # px


class Journal:
    """Writes to `folder`: scalars.jsonl, an events file for TensorBoard where that is installed, and samples/*.png.

    `step` is where the run goes on: lines of later steps, of a part of the run that was lost, are dropped, so that no step appears
    twice. Raises EdgesrError, here and in every method, when the system refuses a write.
    """

    def __init__(self, folder: Path, step: int = 0) -> None:
        self.folder, self.file = folder, folder / "scalars.jsonl"
        with _writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            kept = [line for line in _lines(self.file) if json.loads(line)["step"] <= step]
            partial = self.file.with_suffix(".partial")
            partial.write_text("".join(f"{line}\n" for line in kept))
            partial.replace(self.file)
            self._board = _tensorboard(folder / "tensorboard", step)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Add one line: the step and its figures by name."""
        with _writing(self.folder), self.file.open("a") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name.replace(" ", "_"), value, step)
            self._board.flush()

    def grid(self, step: int, columns: dict[str, Tensor]) -> Path:
        """Write a picture whose columns are `columns`, (N, 3, H, W) in [0, 1] each, under their names; return its path."""
        count, _, height, width = next(iter(columns.values())).shape
        sheet = Image.new("RGB", (len(columns) * width, CAPTION + count * height), "white")
        draw = ImageDraw.Draw(sheet)
        for column, (name, pictures) in enumerate(columns.items()):
            draw.text((column * width + 4, 2), name, fill="black")
            levels = (pictures * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
            for row, picture in enumerate(levels):
                sheet.paste(Image.fromarray(picture), (column * width, CAPTION + row * height))
        path = self.folder / "samples" / f"step-{step:07d}.png"
        partial = path.with_suffix(".partial")
        with _writing(self.folder):
            path.parent.mkdir(exist_ok=True)
            sheet.save(partial, format="PNG")
            partial.replace(path)
        return path


def _lines(file: Path) -> list[str]:
    """The whole lines of the file; a last one that broke off in a crash is none."""
    if not file.exists():
        return []
    return [line for line in file.read_text().split("\n")[:-1] if line]


def _tensorboard(folder: Path, step: int) -> Any:
    """A writer that hides what an earlier part of the run logged after `step`; None, said once, where TensorBoard is missing."""
    try:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 -- an extra
    except ImportError:
        logger.info("TensorBoard is not installed: figures go to scalars.jsonl alone")
        return None
    return SummaryWriter(str(folder), purge_step=step + 1 if step else None)  # type: ignore[no-untyped-call]


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EdgesrError(f"{folder}: cannot write the figures there ({error.strerror or error}); make room and --resume") from None
