"""Shards: pictures travel byte for byte in files of limited size; damage and malice are named and write nothing."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgesr.data import shards
from edgesr.errors import InputError, UsageError

LIMIT = 60_000  # bytes


def noise(path: Path, side: int) -> bytes:
    """A picture that cannot be compressed, about 3 * side^2 bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(side).integers(0, 256, (side, side, 3), np.uint8)).save(path)
    return path.read_bytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve pictures of 1 to 18 kB, some with names that archives find hard."""
    folder = tmp_path / "photos"
    sides = (20, 77, 33, 60, 45, 75, 18, 70, 52, 64)
    for index, side in enumerate(sides):
        noise(folder / f"{index:03d}.png", side)
    noise(folder / ("ü" * 70 + ".png"), 40)
    noise(folder / ("long" * 30 + " name.PNG"), 41)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_pictures_arrive_byte_for_byte_in_files_of_limited_size(folder, tmp_path):
    packed = shards.pack(folder, tmp_path / "out", LIMIT)
    assert (packed.pictures, packed.left_out) == (12, [])
    count = len(packed.shards)
    assert [path.name for path in packed.shards] == [f"photos-{i}-of-{count}.tar" for i in range(1, count + 1)]
    assert all(path.stat().st_size <= LIMIT for path in packed.shards)
    assert count <= sum(map(len, contents(folder).values())) / LIMIT * 2  # no shard is opened without need
    for path in reversed(packed.shards):
        manifest = shards.unpack(path, tmp_path / "back")
    assert contents(tmp_path / "back") == contents(folder)
    assert shards.present(manifest, tmp_path / "back") == set(contents(folder))


def test_the_same_pictures_give_the_same_bytes(folder, tmp_path):
    first = [path.read_bytes() for path in shards.pack(folder, tmp_path / "a", LIMIT).shards]
    for path in folder.iterdir():
        os.utime(path, (1, 1))
        path.chmod(0o600)
    again = [path.read_bytes() for path in shards.pack(folder, tmp_path / "b", LIMIT).shards]
    assert first == again


def test_a_shard_is_a_plain_archive_that_any_tar_reads(folder, tmp_path):
    first = shards.pack(folder, tmp_path / "out", LIMIT).shards[0]
    with tarfile.open(first) as archive:
        names = archive.getnames()
        manifest = json.load(archive.extractfile("MANIFEST.json"))
        assert archive.extractfile("000.png").read() == (folder / "000.png").read_bytes()
    assert names[0] == "MANIFEST.json"
    assert {picture["name"] for picture in manifest["pictures"]} == set(contents(folder))
    assert [picture["name"] for picture in manifest["pictures"] if picture["shard"] == 1] == names[1:]
    for picture in manifest["pictures"]:
        content = (folder / picture["name"]).read_bytes()
        assert (picture["bytes"], picture["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())


def test_what_is_no_readable_picture_is_left_out_and_named(folder, tmp_path):
    whole = (folder / "001.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_bytes(whole)
    noise(folder / "deeper" / "other.png", 20)
    packed = shards.pack(folder, tmp_path / "out", LIMIT)
    assert packed.pictures == 12
    assert packed.left_out == [".hidden.png", "cut.png", "deeper", "notes.txt"]


def test_a_picture_larger_than_a_shard_is_named_with_a_size_that_would_do(tmp_path):
    noise(tmp_path / "photos" / "small.png", 20)
    noise(tmp_path / "photos" / "big.png", 815)  # 1.99 MB
    with pytest.raises(UsageError, match=r"big\.png: 2\.0 MB do not fit .* --shard-mb 3 or more"):
        shards.pack(tmp_path / "photos", tmp_path / "out", 2_000_000)
    assert not (tmp_path / "out").exists()
    assert len(shards.pack(tmp_path / "photos", tmp_path / "out", 3_000_000).shards) == 1


def test_shards_are_never_mixed_with_other_files(folder, tmp_path):
    out = tmp_path / "out"
    noise(out / "mine.png", 20)
    with pytest.raises(UsageError, match="out: exists and is not an empty folder"):
        shards.pack(folder, out, LIMIT)
    assert [path.name for path in out.iterdir()] == ["mine.png"]
    (out / "mine.png").unlink()
    assert shards.pack(folder, out, LIMIT).pictures == 12  # an empty one will do
    assert {path.suffix for path in out.iterdir()} == {".tar"}


def test_a_picture_that_changes_meanwhile_leaves_no_shards_behind(folder, tmp_path, monkeypatch):
    distribute = shards._distribute

    def meanwhile(*arguments):
        (folder / "005.png").write_bytes(b"something else")
        return distribute(*arguments)

    monkeypatch.setattr(shards, "_distribute", meanwhile)
    with pytest.raises(InputError, match=r"005\.png: changed while it was packed"):
        shards.pack(folder, tmp_path / "out", LIMIT)
    assert not (tmp_path / "out").exists()


def test_a_folder_without_pictures_is_named(tmp_path):
    with pytest.raises(UsageError, match="nowhere: no such folder"):
        shards.pack(tmp_path / "nowhere", tmp_path / "out", LIMIT)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="empty: holds no readable pictures"):
        shards.pack(tmp_path / "empty", tmp_path / "out", LIMIT)


def test_each_shard_tells_what_is_still_missing(folder, tmp_path):
    packed, back = shards.pack(folder, tmp_path / "out", LIMIT), tmp_path / "back"
    seen = set()
    for path in packed.shards:
        manifest = shards.unpack(path, back)
        seen |= {entry.name for entry in manifest.own}
        assert shards.present(manifest, back) == seen
        assert manifest.of == len(packed.shards)
    assert seen == set(contents(folder))


def test_what_is_there_already_stays_and_something_else_is_never_replaced(folder, tmp_path):
    packed, back = shards.pack(folder, tmp_path / "out", LIMIT), tmp_path / "back"
    shards.unpack(packed.shards[0], back)
    os.utime(back / "000.png", (1, 1))
    shards.unpack(packed.shards[0], back)
    assert (back / "000.png").stat().st_mtime == 1
    (back / "001.png").write_bytes(b"mine")
    (back / "002.png").unlink()
    before = contents(back)
    with pytest.raises(InputError, match=r"001\.png: exists already with other content"):
        shards.unpack(packed.shards[0], back)
    assert contents(back) == before


@pytest.mark.parametrize("damage", ["a changed byte", "cut off", "a page", "compressed", "missing", "a folder"])
def test_a_damaged_shard_is_named_and_writes_nothing(folder, tmp_path, damage):
    shard = shards.pack(folder, tmp_path / "out", LIMIT).shards[0]
    content = bytearray(shard.read_bytes())
    content[-15_000] ^= 1
    if damage == "cut off":
        shard.write_bytes(content[: len(content) // 2])
    elif damage == "compressed":
        shard.unlink()
        with tarfile.open(shard, "w:gz") as archive:
            archive.add(folder / "000.png", "000.png")
    elif damage in ("missing", "a folder"):
        shard.unlink()
        if damage == "a folder":
            shard.mkdir()
    else:
        shard.write_bytes(content if damage == "a changed byte" else b"<html>404</html>" * 1000)
    with pytest.raises(InputError, match=shard.name):
        shards.unpack(shard, tmp_path / "back")
    assert not (tmp_path / "back").exists()


def forged(path: Path, name: str, changes: dict | None = None, member: tarfile.TarInfo | None = None) -> Path:
    """A shard of one picture called `name`, with `changes` to its manifest and perhaps another member in its place."""
    content = b"payload"
    picture = {"name": name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(), "shard": 1}
    table = {"format": "edgesr shards 1", "shard": 1, "of": 1, "pictures": [picture]}
    listing = json.dumps({**table, **(changes or {})}).encode()
    with tarfile.open(path, "w") as archive:
        head = tarfile.TarInfo("MANIFEST.json")
        head.size = len(listing)
        archive.addfile(head, io.BytesIO(listing))
        if member is None:
            member = tarfile.TarInfo(name)
            member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return path


def test_a_shard_made_by_other_means_is_unpacked_too(tmp_path):
    shards.unpack(forged(tmp_path / "x.tar", "plain.png"), tmp_path / "back")
    assert contents(tmp_path / "back") == {"plain.png": b"payload"}


@pytest.mark.parametrize(
    "name",
    ["../out.png", "/out.png", "a/out.png", "a\\out.png", "C:out.png", "..", "", ".ssh", "two\nlines.png", "MANIFEST.json"],
)
def test_names_that_lead_elsewhere_are_refused(tmp_path, name):
    shard = forged(tmp_path / "x.tar", name)
    with pytest.raises(InputError, match=r"x\.tar: its MANIFEST\.json names files or shards that cannot be"):
        shards.unpack(shard, tmp_path / "deep" / "back")
    assert [path.name for path in tmp_path.rglob("*")] == ["x.tar"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE])
def test_links_folders_and_devices_in_place_of_pictures_are_refused(tmp_path, kind):
    member = tarfile.TarInfo("plain.png")
    member.type, member.linkname = kind, "/etc/passwd"
    with pytest.raises(InputError, match=r"'plain\.png' is not where"):
        shards.unpack(forged(tmp_path / "x.tar", "plain.png", member=member), tmp_path / "back")
    assert not (tmp_path / "back").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "edgesr shards 2"}, "is of the format"),
        ({"shard": 2}, "cannot be"),
        ({"shard": "1"}, "damaged"),
        ({"of": None}, "damaged"),
        ({"pictures": [{"name": "plain.png"}]}, "damaged"),
        ({"pictures": "plain.png"}, "damaged"),
        ({"pictures": [[1, 2]]}, "damaged"),
        ({"pictures": [{"name": 5, "bytes": 7, "sha256": "", "shard": 1}]}, "cannot be"),
        ({"pictures": [{"name": "plain.png", "bytes": 7, "sha256": "0", "shard": 1}]}, "is damaged"),
        ({"pictures": [{"name": "plain.png", "bytes": 8, "sha256": "0", "shard": 1}]}, "is not where"),
    ],
)
def test_manifests_that_are_wrong_are_named(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        shards.unpack(forged(tmp_path / "x.tar", "plain.png", changes), tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_a_folder_that_is_a_file_is_named(folder, tmp_path):
    shard = shards.pack(folder, tmp_path / "out", LIMIT).shards[0]
    (tmp_path / "back").write_text("a file")
    with pytest.raises(InputError, match="back: cannot write there"):
        shards.unpack(shard, tmp_path / "back")
