"""Downloads as they are published become shards: the pictures to train on, unchanged, each once."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("torch")

import make_shards
from PIL import Image

from edgesr.data.stream import find_shards


def png(level: int, side: int = 300) -> bytes:
    stream = io.BytesIO()
    Image.new("L", (side, side), level).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def downloads(tmp_path) -> Path:
    """DIV2K as a zip file, LSDIR as a compressed tar file, FFHQ as a tree of folders."""
    folder = tmp_path / "downloads"
    tree = folder / "ffhq" / "images1024x1024" / "00000"
    tree.mkdir(parents=True)
    (tree / "00000.png").write_bytes(png(1))
    (tree / "00001.png").write_bytes(png(2, side=64))
    (tree / "LICENSE.txt").write_text("as published")
    with zipfile.ZipFile(folder / "DIV2K.zip", "w") as archive:
        for name in (
            "DIV2K_train_HR/0001",
            "DIV2K_train_LR_bicubic/X4/0001x4",
            "DIV2K_valid_HR/0801",
            "__MACOSX/DIV2K_train_HR/._0001",
        ):
            archive.writestr(f"{name}.png", png(3))
    with tarfile.open(folder / "shard-00.tar.gz", "w:gz") as archive:
        for number in (4, 5):
            member = tarfile.TarInfo(f"0001000/{number:07d}.png")
            member.size = len(png(number))
            archive.addfile(member, io.BytesIO(png(number)))
    return folder


def test_the_pictures_to_train_on_are_packed_unchanged(downloads, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["make_shards.py", str(downloads), str(tmp_path / "out"), "--shard-mb", "0"])
    assert make_shards.main() == 0
    assert "4 pictures in 4 shards; 1 too small or broken left out" in capsys.readouterr().out
    packed = {}
    for path in sorted((tmp_path / "out").glob("*.tar")):
        with tarfile.open(path) as shard:
            packed |= {name: shard.extractfile(name).read() for name in shard.getnames()}
    assert sorted(packed) == [f"{number:09d}.png" for number in range(4)]
    assert set(packed.values()) == {png(level) for level in (1, 3, 4, 5)}
    found = find_shards(f"{tmp_path}/out/*.tar")
    index = json.loads((tmp_path / "out" / "index.json").read_text())["shardlist"]
    assert [shard.pictures for shard in found] == [each["nsamples"] for each in index] == [1] * 4


@pytest.mark.parametrize("problem", ["out is not empty", "no archive", "nothing there"])
def test_what_cannot_be_packed_is_one_line(tmp_path, monkeypatch, capsys, problem):
    out, downloads = tmp_path / "out", tmp_path / "downloads"
    downloads.mkdir()
    if problem == "out is not empty":
        out.mkdir()
        (out / "precious").write_text("")
    elif problem == "no archive":
        downloads = tmp_path / "list.pdf"
        downloads.write_text("of another kind")
    monkeypatch.setattr("sys.argv", ["make_shards.py", str(downloads), str(out)])
    assert make_shards.main() == 2
    error = capsys.readouterr().err
    assert error.startswith("make_shards: ")
    assert error.count("\n") == 1
    if problem == "out is not empty":
        assert [path.name for path in out.iterdir()] == ["precious"]
