"""The folder beside a result that keeps finished segments of its video, so that a run that was killed goes on where it was."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import av

from edgesr import atomic
from edgesr.errors import InputError, one_line

FRAMES = 96  # of a segment; each begins with a key frame
_END = "end.json"
_FORMAT = "nut"  # keeps every codec, and times exactly


class End(NamedTuple):
    """How a video ends."""

    frames: int  # in all
    last_duration: int  # of the last frame, in units of the source's time base


class Segments:
    """Finished segments; see `opened`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.finished = 0
        while self._path(self.finished).is_file():
            self.finished += 1
        end = folder / _END
        self.end = End(*json.loads(end.read_bytes())) if end.exists() else None  # None: not all segments are finished

    def paths(self) -> list[Path]:
        """Return the files of the finished segments, in order."""
        return [self._path(index) for index in range(self.finished)]

    @contextmanager
    def new(self) -> Iterator[av.container.OutputContainer]:
        """Yield a container that becomes the next segment when the block ends."""
        try:
            with atomic.new_file(self._path(self.finished)) as stream, av.open(stream, "w", format=_FORMAT) as container:
                yield container
        except OSError as error:
            raise InputError(f"{self._folder}: cannot write a segment: {one_line(error)}") from error
        self.finished += 1

    def finish(self, end: End) -> None:
        """Record that all segments are finished."""
        self.end = end
        atomic.write_whole(self._folder / _END, json.dumps(end).encode())

    def remove(self) -> None:
        """Remove the folder: the result is complete."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, index: int) -> Path:
        return self._folder / f"{index:06}.{_FORMAT}"


@contextmanager
def opened(target: Path, job: dict[str, Any]) -> Iterator[Segments]:
    """Open the folder of segments beside `target`, created for `job`, which names the source and all that changes the result.

    It is locked while it is open. Raises InputError if another process has it, if it is of another job, or if it cannot be written.
    """
    folder, text = atomic.beside(target, "partial"), json.dumps(job, indent=1).encode()
    try:
        folder.mkdir(exist_ok=True)
        stream = (folder / "lock").open("wb")
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {one_line(error)}") from error
    with stream:
        try:
            atomic.lock(stream)
        except BlockingIOError:
            raise InputError(f"{target}: another edgesr video is writing it") from None
        except OSError:  # a file system without locks
            pass
        atomic.remove_abandoned(folder)
        description = folder / "job.json"
        if not description.exists():
            atomic.write_whole(description, text)
        elif description.read_bytes() != text:
            raise InputError(
                f"{folder} holds segments of a run with another input or other options: repeat that command to continue it, or "
                "remove the folder"
            )
        yield Segments(folder)
