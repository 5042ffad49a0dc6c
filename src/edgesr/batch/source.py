"""SOURCE: a folder, a pattern or a manifest becomes a stream of inputs, each with the name of its result."""

from __future__ import annotations

import csv
import io
import posixpath
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple
from urllib.parse import urlsplit

from edgesr import images
from edgesr.batch.storage import Folder
from edgesr.batch.urls import info_of
from edgesr.errors import EdgesrError, UsageError, one_line

MANIFESTS = (".parquet", ".csv", ".txt")
_COLUMNS = ("url", "path", "image", "file", "input", "uri", "key")  # of a manifest, the first that it has
_MAGIC = "*?["
_LOOK_UPS, _CHUNK = 32, 1024  # of a manifest's entries: at the same time, and in memory


class Input(NamedTuple):
    """One picture to upscale."""

    url: str  # or path
    output: str  # name of the result, relative to DEST
    bytes: int | None
    stamp: str | None  # changes when the file does


class Source:
    """What the argument SOURCE names; checked before anything is listed."""

    def __init__(self, text: str, *, suffix: str, format: str | None, column: str | None = None) -> None:
        """Raises UsageError if it names nothing that can be read."""
        if not text:
            raise UsageError("SOURCE is empty: name a folder, a pattern or a manifest")
        self._text, self._suffix, self._format = text, suffix, format
        self._pattern, self._manifest = "", ""
        head, _, name = text.rpartition("/")
        if any(mark in text for mark in _MAGIC) and not Path(text).exists():
            folder, self._pattern = _split_pattern(text)
        elif name.lower().endswith(MANIFESTS):
            folder, self._manifest = head if "/" in text else ".", name
        else:
            folder = text
        if column is not None and not self._manifest:
            raise UsageError("--column is for a manifest, a .parquet, .csv or .txt file")
        self.folder = Folder(folder or "/")
        self.folder.check_readable()
        if self._manifest:
            self._entries = self._listed(column)

    @property
    def is_manifest(self) -> bool:
        """Whether the inputs are listed in a file."""
        return bool(self._manifest)

    def inputs(self) -> Iterator[Input]:
        """Yield the inputs. Raises EdgesrError if the source cannot be listed."""
        if self._manifest:
            yield from self._looked_up()
            return
        found = self.folder.matching(self._pattern) if self._pattern else self.folder.files()
        for entry in found:
            if images.is_picture_name(Path(entry.name)):
                yield Input(self.folder.url_of(entry.name), self._output(entry.name), entry.bytes, entry.stamp)

    def _output(self, name: str) -> str:
        path = PurePosixPath(name)
        return str(path.with_name(f"{path.stem}{self._suffix}{images.result_extension(path.suffix, self._format)}"))

    def _looked_up(self) -> Iterator[Input]:
        with ThreadPoolExecutor(_LOOK_UPS, "look-up") as pool:
            while chunk := list(islice(self._entries, _CHUNK)):
                urls = [entry if _is_absolute(entry) else self.folder.url_of(entry) for entry in chunk]
                for entry, url, (size, stamp) in zip(chunk, urls, pool.map(info_of, urls), strict=True):
                    yield Input(url, self._output(place_of(entry)), size, stamp)

    def _listed(self, column: str | None) -> Iterator[str]:
        """Return the entries of the manifest; its head is read at once. Raises UsageError."""
        read = {".parquet": _parquet, ".csv": _csv, ".txt": _txt}[PurePosixPath(self._manifest.lower()).suffix]
        url = self.folder.url_of(self._manifest)
        try:
            entries = read(self.folder.open(self._manifest), url, column)
            first = list(islice(entries, 1))
        except EdgesrError:
            raise
        except Exception as error:  # every reader and storage has exceptions of its own
            raise UsageError(f"{url}: cannot be read as a manifest: {one_line(error)}") from error
        return _stripped(_joined(first, entries))


def place_of(entry: str) -> str:
    """Return where the result of a manifest's entry goes, relative to DEST and never outside it.

    A relative path keeps its folders; an absolute one, or a URL, keeps its whole path (and its bucket or host).
    """
    if "://" in entry:
        parts = urlsplit(entry)
        entry = f"{parts.netloc.rpartition('@')[2]}/{parts.path}"
    return posixpath.normpath(f"/{entry}").lstrip("/")


def _split_pattern(text: str) -> tuple[str, str]:
    """Split a pattern into the folder before its first wildcard, and the rest."""
    start = min(text.index(mark) for mark in _MAGIC if mark in text)
    head, slash, _ = text[:start].rpartition("/")
    return (head or ("/" if slash else "."), text[len(head) + len(slash) :])


def _is_absolute(entry: str) -> bool:
    return entry.startswith("/") or "://" in entry


def _joined(first: list[str], rest: Iterator[str]) -> Iterator[str]:
    yield from first
    yield from rest


def _stripped(entries: Iterable[str | None]) -> Iterator[str]:
    return (text for entry in entries if entry and (text := entry.strip()))


def _parquet(stream: BinaryIO, url: str, column: str | None) -> Iterator[str]:
    import pyarrow.parquet

    file = pyarrow.parquet.ParquetFile(stream)
    fields = {field.name: field.type for field in file.schema_arrow}
    name = _column(list(fields), url, column)
    if not (pyarrow.types.is_string(fields[name]) or pyarrow.types.is_large_string(fields[name])):
        raise UsageError(f"{url}: its column '{name}' is of {fields[name]}, not text: name another by --column")
    return (text for batch in file.iter_batches(columns=[name]) for text in batch.column(0).to_pylist())


def _csv(stream: BinaryIO, url: str, column: str | None) -> Iterator[str]:
    rows = csv.DictReader(io.TextIOWrapper(stream, "utf-8-sig", newline=""))
    name = _column(list(rows.fieldnames or []), url, column)
    return (row[name] for row in rows)


def _txt(stream: BinaryIO, url: str, column: str | None) -> Iterator[str]:
    if column is not None:
        raise UsageError(f"{url}: a .txt manifest has no columns: omit --column")
    return iter(io.TextIOWrapper(stream, "utf-8-sig"))


def _column(have: list[str], url: str, wanted: str | None) -> str:
    names = [wanted] if wanted is not None else [name for name in _COLUMNS if name in have] or (have if len(have) == 1 else [])
    if not names or names[0] not in have:
        which = f"no column '{wanted}'" if wanted is not None else "no column that is named like a path"
        raise UsageError(f"{url}: has {which}; its columns are {', '.join(have) or 'none'}: name one by --column")
    return names[0]
