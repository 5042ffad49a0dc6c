"""The two forms of a released network, and interpolation between their weights (ESRGAN, arXiv 1809.00219, section 3.4).

The second form is stored as half-precision differences to the weights in the ONNX file of the first: half the size.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgesr.errors import EdgesrError, one_line

WEIGHT, DIFFERENCE = np.dtype("<f4"), np.dtype("<f2")  # as stored in the two files: little-endian


class Difference(NamedTuple):
    """The difference between the weights in an ONNX file and the network's other form; the fields are the arrays of an .npz file."""

    sha256: str  # of the ONNX file, in hexadecimal
    blocks: NDArray[np.int64]  # (N, 2): byte offset of a run of float32 weights in that file, and their number
    values: NDArray[np.float16]  # (sum of those numbers,): other form minus file, all runs concatenated


def write(path: Path, difference: Difference, metadata: dict[str, str] | None = None) -> None:
    """Write `difference` as .npz, with metadata in JSON; uncompressed, as compression saves little and slows loading."""
    sha256, about = np.array(difference.sha256), np.array(json.dumps(metadata or {}))
    with path.open("wb") as stream:
        np.savez(stream, sha256=sha256, blocks=difference.blocks, values=difference.values, metadata=about)


def interpolate(model: Path, difference: Path, fidelity: float) -> bytes:
    """Return the bytes of the ONNX file `model` with `fidelity` times the `difference` added to its weights.

    `fidelity` 0 gives the file itself, 1 the other form, 0.5 the mean of their weights. Raises EdgesrError if a file cannot be
    read or is damaged, or if the two do not belong together.
    """
    try:
        patched = bytearray(model.read_bytes())
    except OSError as error:
        raise _unreadable(model, error) from None
    sha256, blocks, values = _read(difference, len(patched))
    if hashlib.sha256(patched).hexdigest() != sha256:
        raise EdgesrError(
            f"{difference}: does not belong to {model}, or that file is damaged; reinstall edgesr, or export both again"
        )
    start = 0
    for offset, count in blocks.tolist():
        weights: NDArray[Any] = np.frombuffer(patched, WEIGHT, count, offset)  # a view into `patched`
        weights += np.float32(fidelity) * values[start : start + count].astype(np.float32)
        start += count
    return bytes(patched)


def _read(path: Path, size: int) -> Difference:
    """Read what `write` wrote for an ONNX file of `size` bytes; raises EdgesrError when it is missing or damaged."""
    try:
        with np.load(path) as archive:
            difference = Difference(str(archive["sha256"]), archive["blocks"], archive["values"])
        fitting = _fits(difference, size)
    except Exception as error:  # a damaged archive raises many types
        raise _unreadable(path, error) from None
    if not fitting:
        raise _unreadable(path, ValueError("its arrays do not match each other or the model"))
    return difference


def _fits(difference: Difference, size: int) -> bool:
    _, blocks, values = difference
    return (
        values.dtype == DIFFERENCE
        and blocks.dtype == np.int64
        and blocks.shape == (len(blocks), 2)
        and bool((blocks >= 0).all() and (blocks @ (1, WEIGHT.itemsize) <= size).all())
        and values.shape == (blocks[:, 1].sum(),)
    )


def _unreadable(path: Path, error: Exception) -> EdgesrError:
    return EdgesrError(f"{path}: cannot read this file of the model; reinstall edgesr, or export it again ({one_line(error)})")
