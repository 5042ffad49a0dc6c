"""The level of a library's log, for a while."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def log_level(name: str | None, level: int) -> Iterator[None]:
    """Set the level of the logger called `name` (None: the root logger) inside the block, and restore it for the rest of the program."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)
