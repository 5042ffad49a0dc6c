"""The codecs and containers of results, one row each. Those that are chosen without being asked for have permissive licences."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import av
from av.codec.codec import Codec as Encoder
from av.codec.codec import UnknownCodecError, find_best_pix_fmt_of_list

from edgesr.errors import UsageError


@dataclass(frozen=True)
class Codec:
    """One video codec."""

    name: str
    encoder: str  # FFmpeg's name
    crf: int | None = None  # default constant rate factor, lower is better; None: it is lossless
    worst_crf: int = 0
    options: dict[str, str] = field(default_factory=dict)

    def checked_crf(self, crf: int | None) -> int | None:
        """Return `crf`, or the default. Raises UsageError if it is out of range, or if the codec has none."""
        if crf is None:
            return self.crf
        if self.crf is None:
            raise UsageError(f"crf {crf}: the codec {self.name} is lossless: omit it")
        if not 0 <= crf <= self.worst_crf:
            raise UsageError(f"crf {crf}: {self.name} takes 0 (best) to {self.worst_crf}")
        return crf

    def encoder_options(self, crf: int | None) -> dict[str, str]:
        """Return the encoder's options."""
        return {**self.options, **({} if crf is None else {"crf": str(crf)})}

    def pixel_format(self, source: str) -> str:
        """Return the encoder's pixel format that loses least of a source's, such as "yuv420p10le". Alpha and RGB are not kept."""
        formats = [each for each in Encoder(self.encoder, "w").video_formats or [] if _is_plain(each)]
        best, _ = find_best_pix_fmt_of_list(formats, source.replace("yuvj", "yuv"))
        return best.name if best is not None else "yuv420p"


# Segments are encoded one by one, and without B-frames their decoding times fit together where they meet. AV1 and VP9 have
# no such times: their reordering happens inside the packets.
CODECS = {
    codec.name: codec
    for codec in (
        Codec("av1", "libsvtav1", 24, 63, {"preset": "8"}),
        Codec("vp9", "libvpx-vp9", 24, 63, {"deadline": "good", "cpu-used": "4", "row-mt": "1"}),
        Codec("h264", "libx264", 16, 51, {"bf": "0"}),
        Codec("hevc", "libx265", 18, 51, {"x265-params": "bframes=0:log-level=none"}),
        Codec("ffv1", "ffv1", options={"level": "3", "slicecrc": "1"}),
    )
}
CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}  # by extension: FFmpeg's name


def codec_for(name: str) -> Codec:
    """Return the codec called `name`. Raises UsageError for an unknown one, or if this build of FFmpeg lacks its encoder."""
    codec = CODECS.get(name)
    if codec is None:
        raise UsageError(f"unknown codec '{name}': choose one of {', '.join(CODECS)}")
    if not _exists(codec):
        have = ", ".join(each.name for each in CODECS.values() if _exists(each))
        raise UsageError(
            f"codec {name}: this build of FFmpeg (PyAV {av.__version__}) has no encoder {codec.encoder}; it has {have}"
        )
    return codec


def container_for(path: Path) -> str:
    """Return FFmpeg's name of the container that the extension of `path` stands for. Raises UsageError for another one."""
    try:
        return CONTAINERS[path.suffix.lower()]
    except KeyError:
        raise UsageError(f"{path}: name a video file, with one of the extensions {', '.join(CONTAINERS)}") from None


def _exists(codec: Codec) -> bool:
    try:
        Encoder(codec.encoder, "w")
    except UnknownCodecError:
        return False
    return True


def _is_plain(format: av.VideoFormat) -> bool:
    """Whether a pixel format is planar Y'CbCr without alpha; "yuvj" is the old way to say full range."""
    return not format.is_rgb and format.name.startswith("yuv") and not format.name.startswith(("yuva", "yuvj"))
