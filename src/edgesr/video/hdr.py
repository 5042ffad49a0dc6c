"""HDR10's static metadata, which displays map tones by: the mastering display (SMPTE ST 2086) and the content's light level (CTA-861.3)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple

import av
from av.sidedata.sidedata import Type as SideData

_DYNAMIC = {
    SideData.DYNAMIC_HDR_PLUS: "HDR10+",
    SideData.DOVI_METADATA: "Dolby Vision",
    SideData.DOVI_RPU_BUFFER: "Dolby Vision",
}


@dataclass(frozen=True)
class Hdr10:
    """What a video says of them; None: nothing."""

    display: tuple[float, ...] | None = None  # x and y of red, green, blue and white; least and most luminance in cd/m²
    light: tuple[int, int] | None = None  # of the brightest pixel and the brightest frame's mean, in cd/m²

    @classmethod
    def of(cls, frame: av.VideoFrame) -> Hdr10:
        """Return the metadata of a frame."""
        display = light = None
        for each in frame.side_data:
            if each.type == SideData.MASTERING_DISPLAY_METADATA:
                *numbers, primaries, luminance = struct.unpack("22i", bytes(each)[:88])
                if primaries and luminance and all(numbers[1::2]):
                    display = tuple(top / bottom for top, bottom in zip(numbers[::2], numbers[1::2], strict=True))
            elif each.type == SideData.CONTENT_LIGHT_LEVEL:
                light = struct.unpack("2I", bytes(each)[:8])
        return cls(display, light)

    def __bool__(self) -> bool:
        return self.display is not None or self.light is not None

    def added_to(self, options: dict[str, str], encoder: str) -> dict[str, str]:
        """Return `options` of an encoder of `ENCODERS` that make it write this."""
        names = ENCODERS[encoder]
        parameters = [options[names.option]] if names.option in options else []
        if self.display:
            *points, least, most = self.display
            values = [_scaled(value, names.chromaticity) for value in points]
            red, green, blue, white = (",".join(values[i : i + 2]) for i in range(0, 8, 2))
            bounds = f"{_scaled(most, names.luminance)},{_scaled(least, names.luminance)}"
            parameters.append(f"{names.display}=G({green})B({blue})R({red})WP({white})L({bounds})")
        if self.light:
            parameters.append(f"{names.light}={self.light[0]},{self.light[1]}")
        return options | {names.option: ":".join(parameters)}


class _Names(NamedTuple):
    """How an encoder is told: its option, the parameters in it, and their units per 1; None: fractions are written."""

    option: str
    display: str
    light: str
    chromaticity: int | None = None
    luminance: int | None = None


ENCODERS = {  # those that write it; the units of x265 are those of HEVC's message
    "libsvtav1": _Names("svtav1-params", "mastering-display", "content-light"),
    "libx265": _Names("x265-params", "master-display", "max-cll", 50000, 10000),
}


def _scaled(value: float, units: int | None) -> str:
    return str(value if units is None else round(value * units))


def dynamic(frame: av.VideoFrame) -> str | None:
    """The name of metadata of a frame that differ from scene to scene and are not kept; None without."""
    return next((_DYNAMIC[each.type] for each in frame.side_data if each.type in _DYNAMIC), None)
