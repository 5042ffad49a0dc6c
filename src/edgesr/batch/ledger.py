"""The ledger: what happened to every picture, as Parquet files below DEST/.edgesr/ledger, one row for each result."""

from __future__ import annotations

import io
import secrets
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any

from edgesr.batch.storage import Folder
from edgesr.errors import UsageError, one_line

if TYPE_CHECKING:
    import pyarrow

VERSION = "1"
FOLDER = ".edgesr"  # of all that follows, below DEST
PLACE, PLANS, TRIES = f"{FOLDER}/ledger", f"{FOLDER}/plan", f"{FOLDER}/tries"
ROWS = 100_000  # of a file, once a run has ended
_VERSION_KEY = b"edgesr.ledger"
_READERS = 16

COLUMNS = {  # name: type in Parquet
    "output": "string",  # name of the result below DEST; the row's key
    "input": "string",  # path or URL
    "status": "string",  # done, failed or skipped
    "error": "string",  # why it failed, one line
    "notes": "string",  # what the user should know of the result
    "input_bytes": "int64",
    "input_stamp": "string",  # changes when the input does
    "output_bytes": "int64",
    "width": "int32",  # of the result, px
    "height": "int32",
    "seconds": "float64",
    "engine": "string",
    "model": "string",
    "precision": "string",
    "weights": "string",  # SHA-256
    "settings": "string",  # what else decides the result's bytes, JSON
    "version": "string",  # of edgesr
    "host": "string",
    "run": "string",
    "finished": "string",  # UTC, ISO 8601
}


@cache
def schema() -> pyarrow.Schema:
    """Return the schema of the ledger's files."""
    import pyarrow as pa

    return pa.schema([(name, pa.type_for_alias(kind)) for name, kind in COLUMNS.items()], {_VERSION_KEY: VERSION.encode()})


def now() -> str:
    """Return the time for the column `finished`; as text it sorts by time."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def encoded(rows: list[dict[str, Any]]) -> bytes:
    """Return rows as the content of a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema()), stream, compression="zstd")
    return stream.getvalue()


def decoded(content: bytes, name: str) -> list[dict[str, Any]]:
    """Return the rows of a Parquet file. Raises UsageError if it is damaged or of another version."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(pa.BufferReader(content))
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"{name}: cannot be read: {one_line(error)}; move it away, or choose another DEST") from error
    version = (table.schema.metadata or {}).get(_VERSION_KEY, b"unknown").decode()
    if version != VERSION:
        raise UsageError(
            f"{name}: a ledger of version {version}, this edgesr reads version {VERSION}: use the edgesr that wrote it, or another DEST"
        )
    rows: list[dict[str, Any]] = table.select(list(COLUMNS)).to_pylist()
    return rows


def files(dest: Folder) -> list[str]:
    """List the ledger's files."""
    return dest.names(PLACE, ".parquet")


def rows(dest: Folder, names: list[str]) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows of each of the ledger's files; a row of the same output may appear again, the last finished counts."""
    with ThreadPoolExecutor(_READERS, "ledger") as pool:
        ahead = iter(names)
        while some := list(islice(ahead, _READERS)):
            for name, content in zip(some, pool.map(dest.read, some), strict=True):
                if content is not None:  # else another run has just merged it
                    yield decoded(content, dest.url_of(name))


def part_of(run: str, unit: int) -> str:
    """Return the name of the file with the rows of one unit of work."""
    return f"{PLACE}/part-{run}-{unit:08d}.parquet"


def merge(dest: Folder, old: list[str], all_rows: Iterable[dict[str, Any]]) -> None:
    """Write all rows into a few files, then remove the `old` ones; interrupted in between, rows are there twice."""
    ahead, token = iter(all_rows), secrets.token_hex(6)
    number = 0
    while some := list(islice(ahead, ROWS)):
        dest.write(f"{PLACE}/merged-{token}-{number:04d}.parquet", encoded(some))
        number += 1
    for name in old:
        dest.remove(name)
