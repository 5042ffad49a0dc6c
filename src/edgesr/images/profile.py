"""Build ICC profiles for files that describe their colours in another way: PNG by gamma and chromaticities, AVIF by code points.

Formats with profiles then keep the colours; for the others the pixels can be converted.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

_SRGB_XY = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)  # x, y of white, red, green and blue, as in PNG
_P3_XY = (0.680, 0.320, 0.265, 0.690, 0.150, 0.060)
_D65_XY, _DCI_WHITE_XY = (0.3127, 0.3290), (0.314, 0.351)
_D50 = np.array([0.9642, 1.0, 0.8249])  # the white of every ICC profile, XYZ
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])  # XYZ to cone response
_SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)  # ICC's parametric curve of type 3

# Coding-independent code points (ITU-T H.273). BT.709's and BT.601's curves count as sRGB's, as in browsers.
_CICP_XY = {
    1: _SRGB_XY,
    5: (*_D65_XY, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (*_D65_XY, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    7: (*_D65_XY, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    9: (*_D65_XY, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    11: (*_DCI_WHITE_XY, *_P3_XY),
    12: (*_D65_XY, *_P3_XY),
}
_UNSPECIFIED = 2
_CICP_EXPONENTS = {4: 2.2, 5: 2.8, 8: 1.0}
_CICP_AS_SRGB = {1, _UNSPECIFIED, 6, 13, 14, 15}
_CICP_HDR = {16: "PQ", 18: "HLG"}


def from_png(info: Mapping[Any, Any], *, grey: bool) -> bytes | None:
    """Build the profile of a PNG's gAMA and cHRM, by Pillow's names in `info`; None where they are absent or mean sRGB."""
    if "srgb" in info:
        return None
    gamma = info.get("gamma") or 1 / 2.2
    exponent = None if abs(gamma - 1 / 2.2) < 0.005 else 1 / gamma  # 1 / 2.2 is how gAMA says sRGB
    return _profile("gAMA and cHRM", exponent, info.get("chromaticity", _SRGB_XY), grey=grey)


def from_cicp(primaries: int, transfer: int, notes: list[str], *, grey: bool) -> bytes | None:
    """Build the profile of CICP code points; None for sRGB, and, with a note, where no profile can express them."""
    known = primaries in _CICP_XY or primaries == _UNSPECIFIED
    if transfer in _CICP_HDR or not known or transfer not in _CICP_AS_SRGB | _CICP_EXPONENTS.keys():
        kind = f"{_CICP_HDR[transfer]} (HDR)" if transfer in _CICP_HDR else f"code points {primaries}/{transfer}"
        notes.append(f"colour description dropped: {kind} has no ICC profile here, so colours may look different")
        return None
    xy = _CICP_XY.get(primaries, _SRGB_XY)
    return _profile(f"CICP {primaries}/{transfer}", _CICP_EXPONENTS.get(transfer), xy, grey=grey)


def _profile(name: str, exponent: float | None, xy: tuple[float, ...], *, grey: bool) -> bytes | None:
    """Build a profile; `exponent` None is the sRGB curve. None for sRGB itself and for colours that make no sense."""
    if grey or np.allclose(xy, _SRGB_XY, atol=0.002):
        if exponent is None:
            return None
        xy = _SRGB_XY
    try:
        colorants, adaptation = _adapted(xy)
        curve = _curve(exponent)
        if grey:
            return _packed(name, b"GRAY", {b"kTRC": curve, b"chad": adaptation})
        columns = {tag: _xyz(column) for tag, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), colorants.T, strict=True)}
        return _packed(name, b"RGB ", {**columns, b"rTRC": curve, b"gTRC": curve, b"bTRC": curve, b"chad": adaptation})
    except (np.linalg.LinAlgError, ZeroDivisionError, struct.error):
        return None


def _adapted(xy: tuple[float, ...]) -> tuple[np.ndarray, bytes]:
    """Return the XYZ of red, green and blue as columns, seen under D50 (Bradford), and the adaptation as a tag."""
    white, *primaries = (np.array([x / y, 1.0, (1 - x - y) / y]) for x, y in zip(xy[::2], xy[1::2], strict=True))
    matrix = np.stack(primaries, axis=1)
    matrix = matrix * np.linalg.solve(matrix, white)
    adaptation = np.linalg.inv(_BRADFORD) @ np.diag(_BRADFORD @ _D50 / (_BRADFORD @ white)) @ _BRADFORD
    return adaptation @ matrix, b"sf32\0\0\0\0" + _fixed(*adaptation.ravel())


def _curve(exponent: float | None) -> bytes:
    kind, values = (3, _SRGB_CURVE) if exponent is None else (0, (exponent,))
    return b"para\0\0\0\0" + struct.pack(">HH", kind, 0) + _fixed(*values)


def _xyz(values: np.ndarray) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(*values)


def _text(text: str) -> bytes:
    return b"mluc\0\0\0\0" + struct.pack(">II4sII", 1, 12, b"enUS", 2 * len(text), 28) + text.encode("utf-16-be")


def _fixed(*values: float) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def _packed(name: str, space: bytes, tags: dict[bytes, bytes]) -> bytes:
    """Lay out an ICC 4.2 display profile; tags of the same content share it."""
    tags = {b"desc": _text(f"Colours by {name}"), b"cprt": _text("No copyright"), b"wtpt": _xyz(_D50), **tags}
    start = 128 + 4 + 12 * len(tags)
    places: dict[bytes, int] = {}
    table, body = struct.pack(">I", len(tags)), b""
    for tag, data in tags.items():
        if data not in places:
            places[data] = start + len(body)
            body += data + bytes(-len(data) % 4)
        table += struct.pack(">4sII", tag, places[data], len(data))
    head = struct.pack(">I4sI4s4s4s", start + len(body), b"", 0x04200000, b"mntr", space, b"XYZ ")
    head += struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _fixed(*_D50)
    return head.ljust(128, b"\0") + table + body
