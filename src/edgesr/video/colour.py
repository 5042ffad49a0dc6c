"""Colour of video frames: Y'CbCr to the RGB that the network takes, and back with the same matrix and range (ITU-T H.273).

The matrix is computed here, as swscale's tables shift colours of full range by up to 1.4 of 255 levels; swscale resamples chroma only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Interpolation
from numpy.typing import NDArray

from edgesr.errors import InputError

_RGB, _BT709, _UNSPECIFIED, _BT601_625, _BT601_525 = 0, 1, 2, 5, 6
_WEIGHTS = {  # of red and blue in luma, by the number of the matrix
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}
_RESAMPLING = Interpolation.BICUBIC | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP | Interpolation.ACCURATE_RND
_ROWS = 64  # per step, so that floating-point values of a whole frame are never in memory
_WHITE = np.float32(65535)


@dataclass(frozen=True)
class Colour:
    """The colour tags of a video, as numbers of H.273; 2 is unspecified. The range is 1 for limited, 2 for full."""

    matrix: int
    range: int
    primaries: int
    transfer: int

    @classmethod
    def of(cls, frame: av.VideoFrame, name: str) -> Colour:
        """Return the tags of a frame; a matrix or range without tag is the one that players take for a video of its size.

        The result is larger, so that players would take another matrix for it if its tag were left out. Raises InputError for a
        matrix that cannot be converted.
        """
        matrix, range = frame.colorspace, frame.color_range
        if frame.format.is_rgb or frame.format.has_palette:
            matrix, range = _BT709, ColorRange.MPEG
        elif matrix in (_UNSPECIFIED, _RGB):
            high = frame.width >= 1280 or frame.height > 576
            matrix = _BT709 if high else _BT601_625 if frame.height == 576 else _BT601_525
        if matrix not in _WEIGHTS:
            raise InputError(
                f"{name}: its colour matrix, number {matrix} of H.273, is not supported: convert it to BT.709 first"
            )
        if range == ColorRange.UNSPECIFIED:
            range = ColorRange.JPEG if frame.format.name.startswith("yuvj") else ColorRange.MPEG
        return cls(int(matrix), int(range), int(frame.color_primaries), int(frame.color_trc))

    def pixels(self, frame: av.VideoFrame) -> NDArray[np.uint16]:
        """Return the (H, W, 3) RGB pixels of a frame."""
        bits = _bits(frame.format)
        if frame.format.is_rgb or frame.format.has_palette:
            if bits == 8:
                return frame.reformat(format="rgb24").to_ndarray() * np.uint16(257)
            return frame.reformat(format="rgb48le").to_ndarray()
        planes = _planes(self._reformatted(frame, _full_chroma(bits)))
        red_weight, blue_weight = _WEIGHTS[self.matrix]
        rgb = np.empty((frame.height, frame.width, 3), np.uint16)
        for top in range(0, frame.height, _ROWS):
            rows = slice(top, top + _ROWS)
            luma, blue, red = self._to_unit([plane[rows].astype(np.float32) for plane in planes], bits)
            red = luma + 2 * (1 - red_weight) * red
            blue = luma + 2 * (1 - blue_weight) * blue
            green = (luma - red_weight * red - blue_weight * blue) / (1 - red_weight - blue_weight)
            rgb[rows] = np.clip(np.stack([red, green, blue], 2), 0, 1) * _WHITE + np.float32(0.5)
        return rgb

    def frame(self, pixels: NDArray[np.uint16], format: str) -> av.VideoFrame:
        """Return (H, W, 3) RGB pixels as a frame in a Y'CbCr pixel format, with these tags."""
        bits = _bits(av.VideoFormat(format))
        height, width = pixels.shape[:2]
        full = av.VideoFrame(width, height, _full_chroma(bits))
        planes = _planes(full)
        red_weight, blue_weight = _WEIGHTS[self.matrix]
        for top in range(0, height, _ROWS):
            rows = slice(top, top + _ROWS)
            red, green, blue = (pixels[rows].astype(np.float32) / _WHITE).transpose(2, 0, 1)
            luma = red_weight * red + (1 - red_weight - blue_weight) * green + blue_weight * blue
            chroma = [(blue - luma) / (2 * (1 - blue_weight)), (red - luma) / (2 * (1 - red_weight))]
            for plane, values in zip(planes, self._from_unit([luma, *chroma], bits), strict=True):
                plane[rows] = np.clip(values + np.float32(0.5), 0, 2**bits - 1)
        self.tag(full)
        frame = self._reformatted(full, format)
        self.tag(frame)
        return frame

    def tag(self, target: Any) -> None:
        """Set the tags of a frame, or of a codec context."""
        target.colorspace, target.color_range = self.matrix, self.range
        target.color_primaries, target.color_trc = self.primaries, self.transfer

    def _to_unit(self, planes: list[NDArray[Any]], bits: int) -> list[NDArray[Any]]:
        """Levels of Y, Cb, Cr -> [0, 1], [-0.5, 0.5] twice."""
        return [(plane - offset) / scale for plane, (offset, scale) in zip(planes, self._levels(bits), strict=True)]

    def _from_unit(self, planes: list[NDArray[Any]], bits: int) -> list[NDArray[Any]]:
        return [plane * scale + offset for plane, (offset, scale) in zip(planes, self._levels(bits), strict=True)]

    def _levels(self, bits: int) -> list[tuple[int, int]]:
        """Offset and scale of Y, Cb and Cr."""
        middle, unit = 2 ** (bits - 1), 2 ** (bits - 8)
        if self.range == ColorRange.JPEG:
            return [(0, 2**bits - 1), *2 * [(middle, 2**bits - 1)]]
        return [(16 * unit, 219 * unit), *2 * [(middle, 224 * unit)]]

    def _reformatted(self, frame: av.VideoFrame, format: str) -> av.VideoFrame:
        """Change the sampling of chroma alone."""
        return frame.reformat(format=format, src_color_range=self.range, dst_color_range=self.range, interpolation=_RESAMPLING)


def _bits(format: av.VideoFormat) -> int:
    return max(component.bits for component in format.components)


def _full_chroma(bits: int) -> str:
    return "yuv444p" if bits == 8 else f"yuv444p{bits}le"


def _planes(frame: av.VideoFrame) -> list[NDArray[Any]]:
    """The planes (H, W) of a frame without subsampling, as views."""
    dtype = np.dtype(np.uint8 if _bits(frame.format) == 8 else "<u2")
    return [
        np.frombuffer(plane, dtype).reshape(-1, plane.line_size // dtype.itemsize)[: frame.height, : frame.width]
        for plane in frame.planes
    ]
