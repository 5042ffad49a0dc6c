"""The reason why a metric or a system is not available, which the tables show."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from edgesr.errors import EdgesrError, missing_package, one_line


class Unavailable(EdgesrError):  # noqa: N818 (a state, shown in a table, more than an error)
    """A metric or a system that cannot be used here; the message is the reason and what to do, one line without a full stop."""


def need(module: str, extra: str) -> ModuleType:
    """Import `module`, from the extra called `extra`; raises Unavailable if it is missing or fails to import."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        package = error.name or module
        if package.partition(".")[0] == "edgesr":
            raise
        raise Unavailable(missing_package("", package, extra)) from error
    except Exception as error:  # incompatible compiled packages raise any kind of exception
        raise Unavailable(f"the package '{module}' cannot be imported: {brief(error)}") from error


def brief(error: BaseException) -> str:
    """The kind and message of `error` on one short line."""
    name = type(error).__name__
    return f"{name}: {one_line(error)}" if str(error) else name
