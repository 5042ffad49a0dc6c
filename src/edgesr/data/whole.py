"""Files that appear whole or not at all, with Python alone: machines that only train lack the libraries of `edgesr.images`."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path


def write_whole(target: Path, content: bytes) -> None:
    """Write `content` to a temporary file beside `target`, then give it that name, in place of a file that has it.

    Raises OSError for whatever the file system refuses; `target` is then as before.
    """
    temporary = target.with_name(f".{secrets.token_hex(6)}.tmp")
    try:
        with temporary.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(target)
    finally:  # also on KeyboardInterrupt
        with suppress(FileNotFoundError):
            temporary.unlink()
