"""Pack a folder of pictures into numbered .tar files of limited size, and unpack them, to copy training photographs to a
machine without a network. Needs neither torch nor a network.

Every shard holds its picture files unchanged, after `MANIFEST.json`, which lists the pictures of ALL shards of the set with
their sizes and SHA-256, so that any single shard shows what is still missing.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from edgesr.atomic import write_whole
from edgesr.data.files import BROKEN, read_rgb
from edgesr.errors import InputError, UsageError, one_line

MANIFEST = "MANIFEST.json"
FORMAT = "edgesr shards 1"  # increase the number when an older reader would fail
GREATEST_MANIFEST = 100_000_000  # bytes: a larger one is not ours


@dataclass(frozen=True)
class Entry:
    """One picture of a set."""

    name: str  # file name, without folders
    bytes: int
    sha256: str
    shard: int  # 1..of


@dataclass(frozen=True)
class Manifest:
    """The description of a shard and its set."""

    shard: int  # 1..of
    of: int
    pictures: tuple[Entry, ...]  # of the whole set, by name

    @property
    def own(self) -> list[Entry]:
        """The pictures of this shard, in archive order."""
        return [entry for entry in self.pictures if entry.shard == self.shard]


@dataclass(frozen=True)
class Packed:
    """The result of `pack`."""

    shards: list[Path]
    pictures: int
    left_out: list[str]  # names of files that are not readable pictures


def pack(folder: Path, out: Path, limit: int) -> Packed:
    """Pack the pictures of `folder`, sorted by name, into files `out`/FOLDER-I-of-N.tar of at most `limit` bytes.

    The same pictures give the same bytes. Other files in `folder` and subfolders are ignored. `out` is created if missing, and
    gets either all shards or none. Raises UsageError if `out` is not empty, if `folder` is missing or has no readable picture,
    or if a picture does not fit into a shard; InputError if a file cannot be read or written.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; name a folder of pictures")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise UsageError(f"{out}: exists and is not an empty folder; name another")
    pictures, left_out = _readable(folder)
    if not pictures:
        raise UsageError(f"{folder}: holds no readable pictures; name a folder with PNG, JPEG, AVIF or similar files")
    entries = _distribute([_described(path) for path in pictures], limit)
    count = entries[-1].shard
    digits, name = len(str(count)), folder.resolve().name
    with _together(out) as scratch:
        for shard in range(1, count + 1):
            manifest = Manifest(shard, count, tuple(entries))
            _write_shard(scratch / f"{name}-{shard:0{digits}}-of-{count}.tar", manifest, folder)
    return Packed(sorted(out.iterdir()), len(pictures), left_out)


def unpack(shard: Path, out: Path) -> Manifest:
    """Write the pictures of one shard into the folder `out`, which is created if missing, and return the shard's manifest.

    Existing pictures are kept. Nothing is written if there is an error: raises InputError if `shard` cannot be read, is damaged
    or not a shard, or if `out` has a picture of the same name with other content.
    """
    try:
        with tarfile.open(shard, "r:") as archive:  # uncompressed only
            manifest = _read_manifest(shard, archive)
            contents = [(entry.name, _read_picture(shard, archive, entry)) for entry in manifest.own]
    except (OSError, tarfile.TarError, EOFError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a shard, or damaged"
        raise InputError(f"{shard}: cannot be read: {reason}; copy it again") from error
    try:
        out.mkdir(parents=True, exist_ok=True)
        missing = [(name, content) for name, content in contents if not _there(out / name, content)]
        for name, content in missing:
            write_whole(out / name, content)
    except OSError as error:
        raise InputError(f"{out}: cannot write there: {one_line(error)}") from error
    return manifest


def present(manifest: Manifest, out: Path) -> set[str]:
    """Names of the set's pictures that are in `out` with the right size."""
    sizes = {path.name: path.stat().st_size for path in out.iterdir() if path.is_file()}
    return {entry.name for entry in manifest.pictures if sizes.get(entry.name) == entry.bytes}


def _readable(folder: Path) -> tuple[list[Path], list[str]]:
    """The pictures of `folder` that can be decoded, and the names of all other files there."""
    paths = sorted(folder.iterdir(), key=lambda path: path.name)
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow's decoders release the GIL
        readable = list(pool.map(_is_picture, paths))
    return (
        [path for path, good in zip(paths, readable, strict=True) if good],
        [path.name for path, good in zip(paths, readable, strict=True) if not good],
    )


def _is_picture(path: Path) -> bool:
    if not path.is_file() or not _is_plain(path.name):
        return False
    try:
        read_rgb(path)
    except BROKEN:
        return False
    return True


def _described(path: Path) -> Entry:
    content = path.read_bytes()
    return Entry(path.name, len(content), hashlib.sha256(content).hexdigest(), shard=0)


def _distribute(pictures: list[Entry], limit: int) -> list[Entry]:
    """Assign every picture to a shard: shards are filled one after the other, in the order of names."""
    # The manifest with the longest possible numbers, and the padded end of the archive.
    longest = Manifest(len(pictures), len(pictures), tuple(_at(entry, len(pictures)) for entry in pictures))
    overhead = _space(MANIFEST, len(_manifest_bytes(longest))) + tarfile.RECORDSIZE + 2 * tarfile.BLOCKSIZE
    placed: list[Entry] = []
    shard, room = 1, limit - overhead
    for entry in pictures:
        space = _space(entry.name, entry.bytes)
        if space + overhead > limit:
            least = -(-(space + overhead) // 1_000_000)
            raise UsageError(
                f"{entry.name}: {entry.bytes / 1e6:.1f} MB do not fit into a shard of {limit / 1e6:g} MB; "
                f"choose --shard-mb {least} or more"
            )
        if space > room:
            shard, room = shard + 1, limit - overhead
        room -= space
        placed.append(_at(entry, shard))
    return placed


def _at(entry: Entry, shard: int) -> Entry:
    return Entry(entry.name, entry.bytes, entry.sha256, shard)


def _member(name: str, size: int) -> tarfile.TarInfo:
    """An archive member without owner and times, so that the same pictures give the same bytes."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o644
    return member


def _space(name: str, size: int) -> int:
    """Bytes that a member takes in an archive, its header included."""
    header = len(_member(name, size).tobuf(tarfile.PAX_FORMAT, "utf-8", "strict"))
    return header + -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


def _manifest_bytes(manifest: Manifest) -> bytes:
    """JSON with one line per picture, for readability."""
    head = json.dumps({"format": FORMAT, "shard": manifest.shard, "of": manifest.of})[:-1]
    lines = ",\n".join(json.dumps(asdict(entry)) for entry in manifest.pictures)
    return f'{head}, "pictures": [\n{lines}\n]}}\n'.encode()


def _write_shard(path: Path, manifest: Manifest, folder: Path) -> None:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT, encoding="utf-8") as archive:
        listing = _manifest_bytes(manifest)
        archive.addfile(_member(MANIFEST, len(listing)), io.BytesIO(listing))
        for entry in manifest.own:
            content = (folder / entry.name).read_bytes()
            if hashlib.sha256(content).hexdigest() != entry.sha256:
                raise InputError(f"{folder / entry.name}: changed while it was packed; pack again")
            archive.addfile(_member(entry.name, entry.bytes), io.BytesIO(content))


@contextmanager
def _together(out: Path) -> Iterator[Path]:
    """Yield a temporary folder in the folder `out`; its files move to `out` if the block succeeds."""
    new = not out.exists()
    scratch = out / f".{secrets.token_hex(6)}.tmp"
    try:
        scratch.mkdir(parents=True)
        yield scratch
        for path in sorted(scratch.iterdir()):
            path.rename(out / path.name)
    except OSError as error:
        raise InputError(f"{error.filename or out}: {one_line(error)}; nothing was packed") from error
    finally:  # also on KeyboardInterrupt
        shutil.rmtree(scratch, ignore_errors=True)
        if new:
            with suppress(OSError):  # not empty: it holds the shards
                out.rmdir()


def _read_manifest(shard: Path, archive: tarfile.TarFile) -> Manifest:
    """The manifest, with every field checked."""
    member = archive.next()
    if member is None or member.name != MANIFEST or not member.isreg() or member.size > GREATEST_MANIFEST:
        raise InputError(f"{shard}: not a shard of `edgesr data pack`")
    stream = archive.extractfile(member)
    assert stream is not None  # it is a regular file
    try:
        table = json.loads(stream.read())
        if table["format"] != FORMAT:
            raise InputError(f"{shard}: is of the format '{table['format']}', this version reads '{FORMAT}'")
        entries = tuple(Entry(**entry) for entry in table["pictures"])
        manifest = Manifest(table["shard"], table["of"], entries)
        names: Sequence[str] = [entry.name for entry in entries]
        sound = (
            1 <= manifest.shard <= manifest.of
            and len(set(names)) == len(names)
            and all(_is_plain(entry.name) and 1 <= entry.shard <= manifest.of and entry.bytes >= 0 for entry in entries)
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{shard}: its {MANIFEST} is damaged; copy the shard again") from error
    if not sound:
        raise InputError(f"{shard}: its {MANIFEST} names files or shards that cannot be; nothing was unpacked")
    return manifest


def _read_picture(shard: Path, archive: tarfile.TarFile, entry: Entry) -> bytes:
    """The bytes of the archive's next member, which must be `entry`, intact."""
    member = archive.next()
    if member is None or member.name != entry.name or not member.isreg() or member.size != entry.bytes:
        raise InputError(f"{shard}: '{entry.name}' is not where the {MANIFEST} says; copy the shard again")
    stream = archive.extractfile(member)
    assert stream is not None  # it is a regular file
    content = stream.read()
    if hashlib.sha256(content).hexdigest() != entry.sha256:
        raise InputError(f"{shard}: '{entry.name}' is damaged; copy the shard again")
    return content


def _there(target: Path, content: bytes) -> bool:
    """Whether a picture already exists; raises InputError if another file has its name."""
    if not os.path.lexists(target):
        return False
    if target.is_file() and target.read_bytes() == content:
        return True
    raise InputError(f"{target}: exists already with other content; move it away or unpack into another folder")


def _is_plain(name: str) -> bool:
    """Whether `name` is a plain file name, not a folder, drive or hidden file, on every system."""
    if not isinstance(name, str) or not name or not name.isprintable() or name.startswith(".") or name == MANIFEST:
        return False
    return name == PurePosixPath(name).name == PureWindowsPath(name).name
