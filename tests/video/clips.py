"""Small videos with all that has to be kept, and a view of a video's content to compare."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

MS = Fraction(1, 1000)


def pictures(count: int, width: int = 24, height: int = 16) -> list[np.ndarray]:
    """A pan over a smooth random picture: (H, W, 3) uint8 each."""
    rng = np.random.default_rng(0)
    wide = np.kron(rng.integers(0, 256, (height // 4, (width + count) // 4 + 1, 3)), np.ones((4, 4, 1))).astype(np.uint8)
    return [np.ascontiguousarray(wide[:height, i : i + width]) for i in range(count)]


def make(
    path: str,
    frames: list[np.ndarray],
    *,
    times: list[int] | None = None,
    start: int = 0,
    codec: str = "ffv1",
    format: str = "yuv420p",
    tags: tuple[int, int, int, int] | None = None,
    rotation: int | None = None,
    aspect: Fraction | None = None,
    audio: str | None = None,
    subtitles: bool = False,
    chapters: bool = False,
    attachment: bytes | None = None,
    metadata: dict[str, str] | None = None,
) -> None:
    """Write a video; `times` and `start` in ms, `tags` are matrix, range, primaries and transfer."""
    import av

    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with av.open(path, "w") as out:
        video = out.add_stream(codec, rate=25)
        video.height, video.width = frames[0].shape[:2]
        video.pix_fmt, video.codec_context.time_base = format, MS
        if codec == "libx264":
            video.options = {"crf": "0", "preset": "ultrafast"}
        if tags:
            context = video.codec_context
            context.colorspace, context.color_range, context.color_primaries, context.color_trc = tags
        if rotation is not None:
            video.set_display_rotation(rotation)
        if aspect:
            video.codec_context.sample_aspect_ratio = aspect
        sound = out.add_stream(audio, rate=48000, layout="mono") if audio else None
        text = out.add_mux_stream("subrip") if subtitles else None
        if sound is not None:
            sound.metadata["language"] = "jpn"
        if attachment:
            out.add_attachment("notes.txt", "text/plain", attachment)
        if chapters:
            out.set_chapters([{"id": 1, "start": 0, "end": 80, "time_base": MS, "metadata": {"title": "Beginning"}}])
        out.metadata.update(metadata or {})
        for index, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format=format)
            if tags:
                frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc = tags
            frame.pts, frame.time_base = start + (times[index] if times else 40 * index), MS
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        if sound is not None:
            for index in range(10):
                samples = (8000 * np.sin(np.arange(960) * (0.02 + 0.01 * index))).astype(np.int16)[None]
                frame = av.AudioFrame.from_ndarray(samples, "s16", "mono")
                frame.sample_rate, frame.pts, frame.time_base = 48000, 48 * start + 960 * index, Fraction(1, 48000)
                out.mux(sound.encode(frame))
            out.mux(sound.encode(None))
        if text is not None:
            packet = av.Packet(b"Hello")
            packet.stream, packet.pts, packet.dts, packet.duration, packet.time_base = text, 40, 40, 80, MS
            out.mux(packet)


@dataclass
class Content:
    """What a video holds."""

    size: tuple[int, int]
    codec: str
    tags: tuple[int, int, int, int]
    rotation: int
    aspect: Fraction | None
    times: list[Fraction]  # seconds
    starts: list[Fraction]  # seconds after the first frame: the first packet of each other stream
    frames: list[np.ndarray]  # (3/2 H, W) or planes as PyAV returns them
    copied: dict[str, list[bytes]]  # packets of the other streams, by codec
    languages: dict[str, str]
    metadata: dict[str, str]
    chapters: list[str]
    attachments: list[bytes] = field(default_factory=list)


def content(path: str) -> Content:
    """Read all that a video holds."""
    import av

    with av.open(path) as file:
        video = file.streams.video[0]
        frames = list(file.decode(video))
        context = video.codec_context
        found = Content(
            (context.width, context.height),
            av.codec.Codec(context.name).canonical_name,
            (int(frames[0].colorspace), int(frames[0].color_range), int(frames[0].color_primaries), int(frames[0].color_trc)),
            frames[0].rotation,
            video.sample_aspect_ratio,
            [frame.pts * frame.time_base for frame in frames],
            [],
            [planes(frame) for frame in frames],
            {},
            {stream.codec_context.name: stream.language for stream in file.streams.audio},
            dict(file.metadata),
            [chapter["metadata"]["title"] for chapter in file.chapters()],
            [stream.data for stream in file.streams if stream.type == "attachment"],
        )
    with av.open(path) as file:
        others = [stream for stream in file.streams if stream.type in ("audio", "subtitle")]
        for packet in file.demux(others) if others else ():
            if packet.size:
                if packet.stream.codec_context.name not in found.copied:
                    found.starts.append(packet.pts * packet.time_base - found.times[0])
                found.copied.setdefault(packet.stream.codec_context.name, []).append(bytes(packet))
    return found


def planes(frame: Any) -> np.ndarray:
    """All samples of a frame in a row."""
    wide = 1 if max(component.bits for component in frame.format.components) == 8 else 2
    rows = [
        np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height, : wide * plane.width].ravel()
        for plane in frame.planes
    ]
    return np.concatenate(rows).view(np.uint8 if wide == 1 else "<u2")
