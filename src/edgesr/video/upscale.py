"""Upscale a video file into a video file: frame by frame, in segments, so that a run that was killed can go on."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from edgesr import __version__, atomic
from edgesr.errors import InputError, UsageError
from edgesr.upscaling.size import target_size
from edgesr.upscaling.upscaler import Upscaler
from edgesr.video import joining, scheduling, segments
from edgesr.video.codecs import Codec, codec_for, container_for
from edgesr.video.hdr import ENCODERS, Hdr10
from edgesr.video.segments import Segments
from edgesr.video.source import Source, opened, reason

os.environ.setdefault("SVT_LOG", "1")  # errors alone, else SVT-AV1 prints its configuration


@dataclass
class Result:
    """What was made."""

    width: int  # px
    height: int  # px
    frames: int
    computed: int = 0  # frames that the network computed; the others were finished before, or equal to the one before
    continued_at: int = 0  # frames that an earlier run had finished
    notes: list[str] = field(default_factory=list)


def upscale_video(
    source: str | Path,
    target: str | Path,
    upscaler: Upscaler,
    *,
    scale: float | None = None,
    width: int | None = None,
    height: int | None = None,
    codec: str = "av1",
    crf: int | None = None,
    overwrite: bool = False,
    accept_damaged: bool = False,
    progress: Callable[[float], None] | None = None,
) -> Result:
    """Upscale the video `source` into the file `target`; its extension (.mp4, .mov, .mkv, .webm) decides the container.

    Each frame is upscaled by itself, with noise that stays in place. Audio, subtitles, chapters, attachments and metadata are
    copied; colour tags, times of frames, aspect ratio and rotation are kept. `codec` is a name of `codecs.CODECS`, `crf` its
    constant rate factor, lower is better. Sizes as in `target_size`, rounded down to even numbers. Finished segments lie in the
    folder `target`.partial, from which the same call continues after it was killed. `progress` gets the fraction done in [0, 1].

    Raises InputError if the source cannot be read, or is damaged and `accept_damaged` is not set, or if the target or its container
    cannot hold the result; atomic.ExistsError, if it exists and `overwrite` is not set; UsageError for a wrong argument.
    """
    source, target = Path(source), Path(target)
    chosen = codec_for(codec)
    crf = chosen.checked_crf(crf)
    container_for(target)
    if target.exists() and source.exists() and target.samefile(source):
        raise UsageError(f"{target} is the input itself: inputs are never overwritten; give another name")
    atomic.check_target(target, overwrite=overwrite)
    with opened(source, accept_damaged=accept_damaged) as video:
        wide, high = target_size(video.first.width, video.first.height, scale, width, height)
        result = Result(wide & ~1, high & ~1, 0)
        if not result.width or not result.height:
            raise UsageError(f"{wide}x{high} is too small for a video: choose a larger size")
        encoder = _Encoder(video, chosen, crf, result)
        encoder.check(target)
        kept = joining.kept_streams(video, target)

        def enlarged(pixels: NDArray[np.uint16]) -> NDArray[np.uint16]:
            # Sharper edges would flicker more.
            return upscaler(pixels, scale=scale, width=width, height=height, sharpness=0)[: result.height, : result.width]

        job = _job(source, upscaler, encoder)
        with segments.opened(target, job) as store:
            if store.end is None:
                end = _encode(store, encoder, enlarged, result, progress)
                store.finish(end)
            else:
                end = store.end
                result.continued_at = end.frames
            result.frames = end.frames
            joining.join(store, video, kept, target, overwrite=overwrite)
            store.remove()
        result.notes = video.notes
        if video.damaged:
            result.notes.append(f"damaged: {video.damaged} frames could not be decoded, or only in part")
        if result.frames < video.stream.frames:
            result.notes.append(f"has {result.frames} of the {video.stream.frames} frames that it states: is it truncated?")
    return result


@dataclass
class _Encoder:
    """How frames become packets."""

    source: Source
    codec: Codec
    crf: int | None
    size: Result
    format: str = ""
    options: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.format = self.codec.pixel_format(self.source.first.format.name)
        self.options = self.codec.encoder_options(self.crf)
        if hdr := Hdr10.of(self.source.first):
            if self.codec.encoder in ENCODERS:
                self.options = hdr.added_to(self.options, self.codec.encoder)
            else:
                self.source.notes.append("its HDR10 metadata is not kept: only the codecs av1 and hevc keep it")

    def begin(self, container: av.container.OutputContainer) -> av.VideoStream:
        """Open the encoder of a container's video stream and return the stream."""
        with scheduling.kept():
            stream = self._add(container)
            container.start_encoding()
        return stream

    def _add(self, container: av.container.OutputContainer) -> av.VideoStream:
        stream = container.add_stream(self.codec.encoder, rate=self.source.rate, options=self.options)
        stream.width, stream.height, stream.pix_fmt = self.size.width, self.size.height, self.format
        stream.codec_context.time_base = self.source.time_base
        if self.source.stream.sample_aspect_ratio:
            stream.codec_context.sample_aspect_ratio = self.source.stream.sample_aspect_ratio
        self.source.colour.tag(stream.codec_context)
        return stream

    def check(self, target: Path) -> None:
        """Raise InputError if the encoder refuses the video, or the container of `target` the codec: before the work, not after."""
        aspect = self.source.stream.sample_aspect_ratio or 1
        if aspect != 1 and container_for(target) in ("matroska", "webm") and self.codec.name not in ("h264", "hevc"):
            raise InputError(
                f"{target}: {target.suffix} with the codec {self.codec.name} cannot hold pixels of {aspect.numerator}:"
                f"{aspect.denominator} that are not square: name an .mp4 file"
            )
        try:
            with av.open(io.BytesIO(), "w", format=container_for(target)) as scratch:
                self.begin(scratch)
        except (ValueError, av.FFmpegError, OSError) as error:
            size = f"{self.size.width}x{self.size.height}"
            raise InputError(
                f"{target}: cannot be written as {self.codec.name} in {target.suffix}, {size}: {reason(error)}; choose another --codec"
                " or extension"
            ) from error

    def encode(self, stream: av.VideoStream, pixels: NDArray[np.uint16], pts: int) -> list[av.Packet]:
        """Return the packets that a picture completes."""
        frame = self.source.colour.frame(pixels, self.format)
        frame.pts, frame.time_base = pts, self.source.time_base
        return stream.encode(frame)


def _encode(
    store: Segments,
    encoder: _Encoder,
    enlarged: Callable[[NDArray[np.uint16]], NDArray[np.uint16]],
    result: Result,
    progress: Callable[[float], None] | None,
) -> segments.End:
    """Encode all frames that are not in finished segments, in segments; return how the video ends."""
    source = encoder.source
    total, frames = source.count(), source.frames()
    last: av.VideoFrame | None = None
    # Decoded again, which is fast beside the network: seeking does not hit a frame exactly in every container.
    for result.continued_at, last in enumerate(islice(frames, store.finished * segments.FRAMES), 1):  # noqa: B007
        pass
    count = result.continued_at
    before, image = np.empty(0, np.uint16), np.empty(0, np.uint16)
    while (first := next(frames, None)) is not None:
        with store.new() as container:
            stream = encoder.begin(container)
            for last in chain([first], islice(frames, segments.FRAMES - 1)):
                pixels = source.colour.pixels(last)
                if not np.array_equal(pixels, before):
                    before, image = pixels, enlarged(pixels)
                    result.computed += 1
                container.mux(encoder.encode(stream, image, last.pts))
                count += 1
                if progress:
                    progress(min(1.0, count / max(total, count)))
            container.mux(stream.encode(None))
    assert last is not None
    return segments.End(count, last.duration or max(1, round(1 / (source.rate * source.time_base))))


def _job(source: Path, upscaler: Upscaler, encoder: _Encoder) -> dict[str, Any]:
    """All that decides what is in the segments."""
    stat = source.stat()
    return {
        "edgesr": __version__,
        "source": [source.name, stat.st_size, stat.st_mtime_ns],
        "network": upscaler.identity,
        "size": [encoder.size.width, encoder.size.height],
        "encoder": [encoder.codec.encoder, encoder.format, encoder.options],
        "frames": segments.FRAMES,
    }
