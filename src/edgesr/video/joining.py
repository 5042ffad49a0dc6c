"""Put a video together: the encoded segments, and all other streams of the source as they are."""

from __future__ import annotations

import heapq
import io
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.stream import Disposition

from edgesr import atomic
from edgesr.errors import InputError, one_line
from edgesr.video.codecs import container_for
from edgesr.video.segments import Segments
from edgesr.video.source import Source

_OF_THE_FILE = {"major_brand", "minor_version", "compatible_brands", "encoder"}  # metadata that describes the old file
_OF_THE_STREAM = (
    "BPS",
    "DURATION",
    "NUMBER_OF_",
    "_STATISTICS",
    "ENCODER",
    "VENDOR_ID",
    "ROTATE",
)  # and of the old video stream


def kept_streams(source: Source, target: Path) -> list[av.stream.Stream]:
    """Return the streams besides the video that the container of `target` can hold; those of data that it cannot are noted.

    Raises InputError for audio, subtitles and attachments that it cannot hold.
    """
    kept = []
    for stream in source.container.streams:
        if stream.index == source.stream.index:
            continue
        reason = _refusal(stream, container_for(target))
        if reason is None:
            kept.append(stream)
        elif _holds_chapters(stream, source):
            pass  # the container writes it anew
        elif stream.type in ("data", "unknown"):
            source.notes.append(f"stream {stream.index} ({stream.type}) is not kept: {target.suffix} cannot hold it")
        else:
            codec = stream.codec_context.name if stream.codec_context is not None else "unknown codec"
            raise InputError(
                f"{target}: {target.suffix} cannot hold the {stream.type} stream ({codec}) as it is: name a .mkv file"
            )
    return kept


def join(store: Segments, source: Source, kept: list[av.stream.Stream], target: Path, *, overwrite: bool) -> None:
    """Write `target` from the finished segments and the kept streams of the source, with all that describes them."""
    options = {}
    format = container_for(target)
    if format in ("mp4", "mov"):
        vendors = any("." in key for key in source.container.metadata)  # such as com.apple.quicktime.make
        options["movie_timescale"] = str(source.time_base.denominator)  # else where streams begin is rounded to ms
        options["movflags"] = "+faststart" + ("+use_metadata_tags" if vendors else "")
    with (
        av.open(str(source.path), metadata_errors="replace") as others,
        av.open(str(store.paths()[0])) as first,
        atomic.atomic_write(target, overwrite, source=source.path) as file,
        av.open(str(file.name), "w", format=format, container_options=options) as out,
    ):
        video = _add_video(out, first.streams.video[0], source)
        copies = {stream.index: _add_copy(out, others.streams[stream.index]) for stream in kept}
        out.metadata.update({key: value for key, value in others.metadata.items() if key.lower() not in _OF_THE_FILE})
        _add_chapters(out, source)
        for packet in heapq.merge(_encoded(store, video, source.time_base), _copied(others, copies, source.offset), key=_time):
            out.mux_one(packet)


def _holds_chapters(stream: av.stream.Stream, source: Source) -> bool:
    """Whether a stream of data is where MP4 and MOV keep the names of chapters."""
    return (
        stream.type == "data"
        and "mov" in source.container.format.name
        and stream.frames == len(source.container.chapters()) > 0
    )


def _refusal(stream: av.stream.Stream, format: str) -> str | None:
    """Why a container cannot hold a stream; None if it can."""
    if stream.type == "attachment" and format not in ("matroska", "webm"):
        return "has no attachments"
    try:
        with av.open(io.BytesIO(), "w", format=format) as scratch:
            _add_copy(scratch, stream)
            scratch.start_encoding()
    except (ValueError, av.FFmpegError, OSError) as error:
        return one_line(error)
    return None


def _add_video(out: av.container.OutputContainer, template: av.VideoStream, source: Source) -> av.VideoStream:
    video = out.add_stream_from_template(template, opaque=True)
    video.time_base = source.time_base
    video.codec_context.framerate = source.rate
    source.colour.tag(video.codec_context)  # not every codec stores them
    if source.stream.sample_aspect_ratio:
        video.codec_context.sample_aspect_ratio = source.stream.sample_aspect_ratio
    video.set_display_matrix(source.display_matrix)
    video.metadata.update(
        {key: value for key, value in source.stream.metadata.items() if not key.upper().startswith(_OF_THE_STREAM)}
    )
    video.disposition = Disposition(source.stream.disposition)
    return video


def _add_copy(out: av.container.OutputContainer, stream: av.stream.Stream) -> av.stream.Stream:
    if stream.type == "attachment":
        return out.add_attachment(stream.name or "attachment", stream.mimetype or "application/octet-stream", stream.data)
    copy = out.add_stream_from_template(stream, opaque=True)
    copy.metadata.update(stream.metadata)
    copy.disposition = Disposition(stream.disposition)
    return copy


def _add_chapters(out: av.container.OutputContainer, source: Source) -> None:
    chapters = source.container.chapters()
    for chapter in chapters:
        if chapter["time_base"]:
            shift = round(source.offset / chapter["time_base"])
            chapter["start"], chapter["end"] = chapter["start"] - shift, chapter["end"] - shift
    out.set_chapters(chapters)


def _encoded(store: Segments, video: av.VideoStream, time_base: Fraction) -> Iterator[av.Packet]:
    before: av.Packet | None = None
    for path in store.paths():
        with av.open(str(path)) as segment:
            for packet in segment.demux(segment.streams.video[0]):
                if packet.size == 0:  # the demuxer's last
                    continue
                packet.stream = video
                if before is not None:
                    yield before
                before = packet
    if before is not None and store.end is not None:
        before.duration = round(store.end.last_duration * time_base / before.time_base)
        yield before


def _copied(others: av.container.InputContainer, copies: dict[int, Any], offset: Fraction) -> Iterator[av.Packet]:
    streams = [others.streams[index] for index, copy in copies.items() if copy.type != "attachment"]
    if not streams:
        return
    for packet in others.demux(streams):
        if packet.size == 0 and packet.dts is None:
            continue
        if offset:
            shift = round(offset / packet.time_base)
            packet.pts = None if packet.pts is None else packet.pts - shift
            packet.dts = None if packet.dts is None else packet.dts - shift
        packet.stream = copies[packet.stream.index]
        yield packet


def _time(packet: av.Packet) -> Fraction:
    time = packet.dts if packet.dts is not None else packet.pts
    return (time or 0) * packet.time_base
