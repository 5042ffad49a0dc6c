"""Checkpoints written behind the training: the tensors are copied, and a thread writes the copies while the next steps run."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

from torch import Tensor

from edgesr.model import checkpoint


class Writer:
    """Writes the checkpoints of one folder, one at a time; leaving the context waits for the last one, also after an error.

    It takes as much memory as a checkpoint while it writes.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pool = ThreadPoolExecutor(1, "checkpoint")
        self._running: Future[None] | None = None

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                self.wait()
        finally:
            self._pool.shutdown()

    def save(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Begin to write a checkpoint of the tensors as they are now; first wait for the one before.

        Raises EdgesrError if the one before could not be written.
        """
        self.wait()
        copies = {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()}
        self._running = self._pool.submit(checkpoint.save, self._folder, copies, state)

    def wait(self) -> None:
        """Wait until the last one is written. Raises EdgesrError if it could not be."""
        running, self._running = self._running, None
        if running is not None:
            running.result()
