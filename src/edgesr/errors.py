"""Errors for the user, with one-line messages that say what was wrong and what to do, and helpers to word them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class EdgesrError(Exception):
    """An error that the user can fix: a bad file, a wrong option, a missing extra.

    The message is one line, names the file or field, and says what to do. The command line prints it without a traceback.
    """


class InputError(EdgesrError):
    """One input cannot be read, or its output cannot be written. Other inputs are still processed (exit code 1)."""


class DivergedError(EdgesrError):
    """A training that diverged: its loss is not finite, or its pictures drift. The cause is the recipe, unlike for a full disk."""


class UsageError(EdgesrError):
    """The command line, or an argument of the Python interface, is wrong (exit code 2)."""


def one_line(error: BaseException, limit: int = 200) -> str:
    """Describe an error on one line of at most `limit` characters: the system's message, else the error's own, else its type."""
    if isinstance(error, OSError) and error.errno is not None and error.strerror:
        return error.strerror
    return " ".join(str(error).split())[:limit] or type(error).__name__


def missing_package(what: str, package: str, extra: str) -> str:
    """Return the message for a missing `package` that `what` needs and `extra` installs."""
    return f"{what} needs the package '{package}': {install_command(extra)}".lstrip()


def install_command(extra: str) -> str:
    """Return the command that adds an extra to this installation, from where it was installed: a clone, a URL or an index.

    pip records the source of anything but an index in direct_url.json (PEP 610); pipx leaves a file in its environments, whose pip
    `pipx runpip` runs, in a folder of its own.
    """
    import json  # here, so that `edgesr --help` need not wait for these
    import sys
    from importlib.metadata import PackageNotFoundError, distribution
    from pathlib import Path
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    try:
        record = json.loads(distribution("edgesr").read_text("direct_url.json") or "{}")
        url, folder = str(record.get("url", "")), record.get("dir_info")
    except (PackageNotFoundError, ValueError, AttributeError):
        url, folder = "", None
    by_pipx = Path(sys.prefix, "pipx_metadata.json").is_file()
    install = "pipx runpip edgesr install" if by_pipx else "pip install"
    if not url:
        return f"{install} 'edgesr[{extra}]'"
    if folder is None:
        return f"{install} 'edgesr[{extra}] @ {_with_revision(url, record.get('vcs_info'))}'"
    clone = Path(url2pathname(urlsplit(url).path))
    place = "." if clone == Path.cwd() and not by_pipx else str(clone)
    return f"{install} {'-e ' if folder.get('editable') else ''}'{place}[{extra}]'"


def _with_revision(url: str, vcs: dict[str, str] | None) -> str:
    return f"{vcs['vcs']}+{url}@{vcs['commit_id']}" if vcs else url


@contextmanager
def needs_extra(extra: str, what: str) -> Iterator[None]:
    """Put around imports: raises UsageError, which names `what` and the extra, if one of its packages is missing."""
    try:
        yield
    except ImportError as error:
        if error.name is None or error.name.partition(".")[0] == "edgesr":
            raise
        raise UsageError(missing_package(what, error.name, extra)) from error
