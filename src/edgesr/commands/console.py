"""What the verbs share: one-line messages on standard error, and argument types for argparse."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

PRECISION_HELP = (
    "fp32, bf16 (openvino), int8 (onnxruntime, openvino), or auto: the fastest that was measured on such a processor; the first "
    "message names it (default: %(default)s)"
)


def say(message: str) -> None:
    """Print a message on standard error as one line, even if a file name in it contains line breaks."""
    print(printable(" ".join(message.splitlines())), file=sys.stderr, flush=True)


def printable(text: str) -> str:
    """Escape characters that would control the terminal or reverse the text, and bytes that are not valid text."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape", "surrogatepass").decode() for each in text)


def complain(message: str) -> None:
    """Print an error on standard error, as one line."""
    say(f"edgesr: {message}")


def int_range(low: int, high: int | None = None) -> Callable[[str], int]:
    """Return an argparse type: an integer from `low` to `high`; None: no upper limit."""
    limits = f"{low} or more" if high is None else f"{low} to {high}"

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = low - 1
        if number < low or (high is not None and number > high):
            raise argparse.ArgumentTypeError(f"'{text}' is not a whole number of {limits}")
        return number

    return parse


def share(text: str) -> float:
    """Parse a number from 0 to 1; an argparse type."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:  # also catches NaN
        raise argparse.ArgumentTypeError(f"'{text}' is not a number from 0 to 1")
    return number


def size(text: str) -> tuple[int, int]:
    """Parse "128x96" into (width, height), both at least 1; an argparse type."""
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"'{text}' is not a size in pixels such as 128x128 (width x height)")
    return int(width), int(height)
