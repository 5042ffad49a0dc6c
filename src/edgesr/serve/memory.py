"""`edgesr serve --max-memory`: the limits that follow from one number, what an image needs, and the share that holds each process.

All in MB (10^6 bytes). A server of N workers has N + 1 processes that upscale, since jobs have one of their own:

    max-memory = SERVER + bodies * max-megabytes + (N + 1) * process,   bodies = queue + N + 8
    process = PROGRAM + window + image,   window = (process - PROGRAM) / 3, at least LEAST_WINDOW
"""

from __future__ import annotations

import os
from bisect import bisect_left
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edgesr.errors import EdgesrError, UsageError
from edgesr.serve.limits import Limits

SERVER = 150  # interpreter, libraries, and 1,000 connections
PROGRAM = 150  # interpreter, libraries and network of a process that upscales
LEAST_WINDOW = 100  # activations of a window of tiles, and a row of results
LEAST_IMAGE = 50
MEBIBYTE = 1.048576  # MB

# Bytes per pixel at the peak of decoding, conversion and filling of transparent parts: the greatest over all kinds of such files.
READING = {"JPEG": 13, "BMP": 13, "GIF": 13, "PNG": 18, "WEBP": 20, "AVIF": 18, "HEIF": 20, "JXL": 20}
READING_SIXTEEN_BIT = 28
WRITING = 45  # bytes per pixel of a result that is encoded as a whole; others are written row by row
HELD = 8  # bytes per pixel of the decoded image while its result is written
STREAMED = ("JPEG", "PNG", "TIFF")

LARGEST_FILE, MOST_PIXELS = Limits.body_bytes >> 20, Limits.pixels  # the limits without --max-memory
_SHARE_OF_FILES = 0.25


@dataclass(frozen=True)
class Shares:
    """What follows from a limit of memory."""

    megabytes: int  # MiB, of an image file
    pixels: int  # of an image
    process: float  # of each process that upscales


def shares(memory: int, workers: int, queue: int, megabytes: int | None, pixels: int | None) -> Shares:
    """Divide `memory`, choosing the largest file and image that were not given. Raises UsageError if it does not suffice for them."""
    bodies = queue + workers + 8

    def divided(memory: int) -> Shares | None:
        file = megabytes or max(1, min(LARGEST_FILE, int(_SHARE_OF_FILES * memory / (bodies * MEBIBYTE))))
        process = (memory - SERVER - bodies * file * MEBIBYTE) / (workers + 1)
        image = image_share(process)
        if image < max(LEAST_IMAGE, 2 * file * MEBIBYTE, READING["JPEG"] * (pixels or 0) / 1e6):
            return None
        return Shares(file, pixels or min(MOST_PIXELS, int(image * 1e6 / READING["JPEG"])), process)

    found = divided(memory)
    if found is None:
        enough = bisect_left(range(2**62), True, lo=memory, key=lambda memory: divided(memory) is not None)
        raise UsageError(
            f"--max-memory {memory} is too little for {workers + 1} processes (one is for jobs), a queue of {queue}, and the sizes of "
            f"files and images: give at least {enough} MB, or lower --workers, --queue, --max-megabytes or --max-pixels"
        )
    return found


def window_share(process: float) -> float:
    """The part of a process that is for windows of tiles."""
    return max(LEAST_WINDOW, (process - PROGRAM) / 3)


def image_share(process: float) -> float:
    """The part of a process that is for the image: its file, decoding and encoding."""
    return process - PROGRAM - window_share(process)


def needed(data: bytes, name: str, size: tuple[int, int], out_name: str, out_size: tuple[int, int]) -> float:
    """What the image in `data` needs of that part, for a result of another size; the names are those of formats."""
    pixels, out_pixels = size[0] * size[1], out_size[0] * out_size[1]
    sixteen_bit = name == "TIFF" or (name == "PNG" and data[24:25] == b"\x10")  # a TIFF tells it too far inside
    reading = (READING_SIXTEEN_BIT if sixteen_bit else READING[name]) * pixels
    writing = HELD * pixels + (0 if out_name in STREAMED else WRITING * out_pixels)
    return (2 * len(data) + max(reading, writing)) / 1e6


def hold(process: float) -> None:
    """Let the system refuse this process more than its share, on Linux. Raises EdgesrError if the network leaves too little of it."""
    with suppress(OSError, ImportError):
        import resource

        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()
        resident, data = (int(pages[at]) * os.sysconf("SC_PAGE_SIZE") for at in (1, 5))
        room = process * 1e6 - resident
        if room < (LEAST_WINDOW + LEAST_IMAGE) * 1e6:
            raise EdgesrError(
                f"the network leaves too little memory: a process has {process:.0f} MB, of which it takes {resident / 1e6:.0f}; "
                "raise --max-memory, or lower --workers"
            )
        resource.setrlimit(resource.RLIMIT_DATA, (int(data + room), resource.getrlimit(resource.RLIMIT_DATA)[1]))
