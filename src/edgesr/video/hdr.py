"""HDR10's static metadata, which displays map tones by: the mastering display (SMPTE ST 2086) and the content's light level (CTA-861.3)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import av
from av.sidedata.sidedata import Type as SideData

_CHROMATICITY, _LUMINANCE = 50000, 10000  # units of HEVC's message: 0.00002, and 0.0001 cd/m²
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
        option, display_name, light_name, chromaticity, luminance, kind = ENCODERS[encoder]
        parameters = [options[option]] if option in options else []
        if self.display:
            *points, least, most = self.display
            red, green, blue, white = (
                ",".join(str(kind(value * chromaticity)) for value in points[i : i + 2]) for i in range(0, 8, 2)
            )
            bounds = f"{kind(most * luminance)},{kind(least * luminance)}"
            parameters.append(f"{display_name}=G({green})B({blue})R({red})WP({white})L({bounds})")
        if self.light:
            parameters.append(f"{light_name}={self.light[0]},{self.light[1]}")
        return options | {option: ":".join(parameters)}


ENCODERS = {  # those that write it: the option with their parameters, the parameters' names, units per 1, and the type of numbers
    "libsvtav1": ("svtav1-params", "mastering-display", "content-light", 1, 1, float),
    "libx265": ("x265-params", "master-display", "max-cll", _CHROMATICITY, _LUMINANCE, round),
}


def dynamic(frame: av.VideoFrame) -> str | None:
    """The name of metadata of a frame that differ from scene to scene and are not kept; None without."""
    return next((_DYNAMIC[each.type] for each in frame.side_data if each.type in _DYNAMIC), None)
