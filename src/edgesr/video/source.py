"""A video file that is read: its frames with their times, and what else has to be kept."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
from av.sidedata.sidedata import Type as SideData

from edgesr.errors import InputError, one_line
from edgesr.images.formats import FORMATS, detect
from edgesr.video.colour import Colour
from edgesr.video.hdr import dynamic

_DEFAULT_RATE = Fraction(25)


@dataclass
class Source:
    """An open video. Its frames can be read once."""

    path: Path
    container: av.container.InputContainer
    stream: av.VideoStream  # the one to upscale
    first: av.VideoFrame  # of `frames`
    colour: Colour
    accept_damaged: bool
    _decoded: Iterator[av.VideoFrame]
    damaged: int = 0  # packets or frames that could not be decoded, or not as a whole
    notes: list[str] = field(default_factory=list)

    @property
    def time_base(self) -> Fraction:
        """Seconds per unit of the frames' times."""
        return self.stream.time_base or 1 / self.rate

    @property
    def rate(self) -> Fraction:
        """Frames per second, on average."""
        return self.stream.average_rate or self.stream.guessed_rate or _DEFAULT_RATE

    @property
    def offset(self) -> Fraction:
        """Seconds at which the file's times start, if that is after zero; results start at zero."""
        return max(Fraction(0), Fraction(self.container.start_time or 0, av.time_base))

    @property
    def display_matrix(self) -> list[int] | None:
        """The rotation that players apply, as the 9 numbers of FFmpeg's display matrix."""
        return next(
            (
                list(struct.unpack("9i", bytes(each)[:36]))
                for each in self.first.side_data
                if each.type == SideData.DISPLAYMATRIX
            ),
            None,
        )

    def count(self) -> int:
        """Return the number of frames: the file's statement, or an estimate from its duration."""
        if self.stream.frames:
            return self.stream.frames
        if self.stream.duration and self.stream.time_base:
            return max(1, round(self.stream.duration * self.stream.time_base * self.rate))
        return max(1, round(Fraction(self.container.duration or 0, av.time_base) * self.rate))

    def frames(self) -> Iterator[av.VideoFrame]:
        """Yield the frames in the order in which they are shown, with rising times.

        A frame without a time, or whose time is not after the one before, follows that by one frame's duration or one unit. Raises
        InputError for damage, unless it is accepted, and for frames of another size or format.
        """
        step = max(1, round(1 / (self.rate * self.time_base)))
        offset = round(self.offset / self.time_base)
        last: int | None = None
        for frame in chain([self.first], self._decoded):
            if (frame.width, frame.height, frame.format.name) != (self.first.width, self.first.height, self.first.format.name):
                raise InputError(
                    f"{self.path}: the size or the pixel format of its frames changes at {frame.time:.1f} s: cut it there"
                )
            pts = None if frame.pts is None else frame.pts - offset
            if last is not None and (pts is None or pts <= last):
                pts = last + (step if pts is None else 1)
            frame.pts = last = pts or 0
            yield frame


@contextmanager
def opened(path: Path, *, accept_damaged: bool = False) -> Iterator[Source]:
    """Open a video. Raises InputError for whatever is no video."""
    container = _open(path)
    with container:
        videos = [stream for stream in container.streams.video if not stream.disposition & av.stream.Disposition.attached_pic]
        if not videos:
            raise InputError(f"{path}: has no video stream")
        best = container.streams.best("video")
        stream = best if best in videos else videos[0]
        if stream.codec_context is None:
            raise InputError(f"{path}: PyAV {av.__version__} has no decoder for its video")
        stream.thread_type = "AUTO"
        source = Source(path, container, stream, None, None, accept_damaged, iter(()))  # type: ignore[arg-type]
        source._decoded = _decoded(source)
        first = next(source._decoded, None)
        if first is None:
            raise InputError(f"{path}: its video stream has no frames that can be decoded")
        source.first, source.colour = first, Colour.of(first, str(path))
        if first.interlaced_frame:
            source.notes.append("interlaced: fields are upscaled as they are woven; deinterlace it first for a better result")
        if first.format.name.startswith(("yuva", "gbrap", "rgba", "bgra", "argb", "abgr", "ya")):
            source.notes.append("its transparency is not kept")
        if name := dynamic(first):
            source.notes.append(f"its {name} metadata, which differ from scene to scene, are not kept")
        yield source


def _open(path: Path) -> av.container.InputContainer:
    try:
        if not path.is_file():
            raise InputError(f"{path}: " + ("is not a regular file" if path.exists() else "no such file"))
        with path.open("rb") as stream:
            picture = detect(stream.read(64))
        if picture not in (None, "GIF"):
            raise InputError(f"{path}: is a picture ({FORMATS[str(picture)].title}), not a video: use `edgesr upscale`")
        return av.open(str(path), "r", metadata_errors="replace")
    except (av.FFmpegError, OSError) as error:
        why = "not a video, or damaged" if isinstance(error, av.InvalidDataError) else reason(error)
        raise InputError(f"{path}: cannot be read: {why}") from error


def _decoded(source: Source) -> Iterator[av.VideoFrame]:
    packets = source.container.demux(source.stream)
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                return
            frames = packet.decode()
        except (av.InvalidDataError, av.EOFError) as error:
            _count_damage(source, reason(error))
            continue
        for frame in frames:
            if frame.is_corrupt:  # the decoder has guessed some of it
                _count_damage(source, f"at {frame.time or 0:.1f} s")
            yield frame


def _count_damage(source: Source, what: str) -> None:
    source.damaged += 1
    if not source.accept_damaged:
        raise InputError(f"{source.path}: damaged: {what} (use --accept-damaged to upscale what can be decoded)")


def reason(error: Exception) -> str:
    """Say on one line why FFmpeg refused something."""
    return str(error.strerror) if isinstance(error, av.FFmpegError) and error.strerror else one_line(error)
