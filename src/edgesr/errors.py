"""Errors for the user: each message is one line that says what was wrong and what to do; and the wording that they share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class EdgesrError(Exception):
    """Something the user can mend: a bad file, a wrong option, a missing extra.

    The message is one line, names the file or field, and says what to do. The command line prints it without a traceback.
    """


class InputError(EdgesrError):
    """One input could not be read, or its output could not be written; the other inputs go on (exit code 1)."""


class DivergedError(EdgesrError):
    """A training that went astray, its loss not finite or its pictures drifting: a result of its recipe, unlike a full disk."""


class UsageError(EdgesrError):
    """The command line, or an argument of the Python interface, is wrong (exit code 2)."""


def one_line(error: BaseException, limit: int = 200) -> str:
    """What went wrong on one line of at most `limit` characters: the system's words for it, else the message, else the kind of error."""
    if isinstance(error, OSError) and error.errno is not None and error.strerror:
        return error.strerror
    return " ".join(str(error).split())[:limit] or type(error).__name__


def missing_package(what: str, package: str, extra: str) -> str:
    """The message where `what` needs `package`, which the extra called `extra` installs."""
    return f"{what} needs the package '{package}': {install_command(extra)}".lstrip()


def install_command(extra: str) -> str:
    """Return the pip command that adds an extra to this installation, from where it was installed: a clone, a URL or an index.

    pip records the source of anything but an index in direct_url.json (PEP 610).
    """
    import json  # here, so that `edgesr --help` need not wait for these
    from importlib.metadata import PackageNotFoundError, distribution
    from pathlib import Path
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    try:
        record = json.loads(distribution("edgesr").read_text("direct_url.json") or "{}")
        url, folder = str(record.get("url", "")), record.get("dir_info")
    except (PackageNotFoundError, ValueError, AttributeError):
        url, folder = "", None
    if not url:
        return f"pip install 'edgesr[{extra}]'"
    if folder is None:
        return f"pip install 'edgesr[{extra}] @ {_with_revision(url, record.get('vcs_info'))}'"
    clone = Path(url2pathname(urlsplit(url).path))
    place = "." if clone == Path.cwd() else str(clone)
    return f"pip install {'-e ' if folder.get('editable') else ''}'{place}[{extra}]'"


def _with_revision(url: str, vcs: dict[str, str] | None) -> str:
    return f"{vcs['vcs']}+{url}@{vcs['commit_id']}" if vcs else url


@contextmanager
def needs_extra(extra: str, what: str) -> Iterator[None]:
    """Around imports: raise UsageError, which says that `what` needs the extra, where one of its packages is missing."""
    try:
        yield
    except ImportError as error:
        if error.name is None or error.name.partition(".")[0] == "edgesr":
            raise
        raise UsageError(missing_package(what, error.name, extra)) from error
