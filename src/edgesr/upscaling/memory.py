"""How large windows and rows of tiles may be: by the memory that is free, and by the user's limit. They never change the result."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from edgesr.errors import UsageError
from edgesr.presets import Preset, SkipDecoderConfig

WINDOW_PIXELS = 512 * 512  # LR px of a window: about 250 MB of activations for `tiny`; see docs/performance.md
BAND_PIXELS = 512 * 2560  # LR px of a row of tiles; its result is kept until it is encoded: 63 MB of 8-bit RGB
LEAST_PIXELS, MOST_PIXELS = 128 * 128, 2048 * 2048  # LR px of a window, with a limit
LEAST_MEMORY = 250  # MB

_PROGRAM = 150e6  # bytes of interpreter, libraries and weights
_ACTIVATIONS = 1250  # bytes for an LR px of a window of `tiny`, measured; they grow with the width on the LR grid
_WIDTH = 32  # of `tiny` on the LR grid
_RESULT = 2 * 48  # bytes for an LR px of a row of tiles: one row is encoded while the next is computed
_SHARE_OF_ROWS = 0.25
_SHARE_OF_FREE = 0.8  # the rest is for other programs
_CGROUP = Path("/sys/fs/cgroup")


class Limits(NamedTuple):
    """Limits of a plan, LR px."""

    window_pixels: int
    band_pixels: int


def limits(preset: Preset, input_bytes: int, memory: int | None) -> Limits:
    """Return the limits for an input of so many bytes: the default ones where they fit, else, or with a limit of `memory` MB, what fits."""
    if memory is not None:
        budget = memory * 1e6 - _PROGRAM - input_bytes
        most = MOST_PIXELS
    else:
        free = free_memory()
        if free is None:
            return Limits(WINDOW_PIXELS, BAND_PIXELS)
        budget, most = _SHARE_OF_FREE * free, WINDOW_PIXELS
    width = preset.decoder.lr_width if isinstance(preset.decoder, SkipDecoderConfig) else preset.decoder.widths[0]
    window = (1 - _SHARE_OF_ROWS) * budget / (_ACTIVATIONS * width / _WIDTH)
    rows = _SHARE_OF_ROWS * budget / _RESULT
    return Limits(int(min(max(window, LEAST_PIXELS), most)), int(min(max(rows, LEAST_PIXELS), BAND_PIXELS)))


def checked(memory: int | None) -> int | None:
    """Return a limit in MB; raises UsageError if it is too low for any image."""
    if memory is not None and not (isinstance(memory, int) and memory >= LEAST_MEMORY):
        raise UsageError(f"memory {memory!r}: give a whole number of MB, at least {LEAST_MEMORY}")
    return memory


def free_memory() -> int | None:
    """Return the bytes that this process can still take without swapping; None where the system does not say."""
    return min(_stated(), default=None)


def _stated() -> Iterator[int]:
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                yield int(line.split()[1]) * 1024
    except (OSError, ValueError):  # not Linux
        return
    try:  # of a container; "max" where it has no limit
        yield int((_CGROUP / "memory.max").read_text()) - int((_CGROUP / "memory.current").read_text())
    except (OSError, ValueError):
        return
