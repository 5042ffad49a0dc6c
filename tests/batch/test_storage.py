"""SOURCE and DEST elsewhere: a real object store over HTTP, a real SFTP server, and manifests that name files on both."""

from __future__ import annotations

import io
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import servers
from cluster_runs import ledger, make_pictures
from command_line import edgesr_


def upscaled(photos: Path, folder: Path) -> dict[str, bytes]:
    """What `edgesr upscale` makes of a folder."""
    edgesr_("upscale", str(photos), "--recursive", "--quiet", "-o", str(folder))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def contents(fs, folder: str) -> dict[str, bytes]:
    fs.invalidate_cache()
    return {path[len(folder) + 1 :]: fs.cat_file(path) for path in fs.find(folder) if "/.edgesr/" not in path}


def test_from_object_storage_to_object_storage(two_nodes, tmp_path):
    photos = tmp_path / "photos"
    make_pictures(photos, 12, broken=1)
    s3 = fsspec.filesystem("s3")
    s3.mkdir("archive")
    s3.put(f"{photos}/", "archive/photos", recursive=True)
    written = two_nodes.run("s3://archive/photos", "s3://archive/large", code=1)
    assert "s3://archive/photos/" in written.splitlines()[1]  # the broken one
    assert contents(s3, "archive/large") == upscaled(photos, tmp_path / "expected")
    (name,) = s3.ls("archive/large/.edgesr/ledger", detail=False)
    rows = pq.read_table(io.BytesIO(s3.cat_file(name))).to_pylist()
    assert sorted(row["status"] for row in rows) == ["done"] * 11 + ["failed"]
    assert {row["input"] for row in rows} == {f"s3://{path}" for path in s3.find("archive/photos")}

    again = two_nodes.run("s3://archive/photos", "s3://archive/large", code=1)  # by their ETags: unchanged
    assert again.startswith("0 images to upscale, 11 done before, 1 failed before")


def test_a_manifest_of_files_on_several_storages_to_an_sftp_server(two_nodes, tmp_path):
    photos = tmp_path / "photos"
    first, second, third = make_pictures(photos, 3)
    s3 = fsspec.filesystem("s3")
    s3.mkdir("more")
    s3.put_file(str(second), "more/deep/b.png")
    with servers.sftp() as port:
        server = f"sftp://{servers.USER}@127.0.0.1:{port}"
        entries = [first.relative_to(tmp_path).as_posix(), "s3://more/deep/b.png", f"{server}{third}", "photos/gone.png"]
        pq.write_table(pa.table({"id": range(4), "photo": entries}), tmp_path / "list.parquet")
        large = tmp_path / "large"
        written = two_nodes.run(str(tmp_path / "list.parquet"), f"{server}{large}", "--column", "photo", code=1)
        assert f"{tmp_path}/photos/gone.png" in written

        expected = upscaled(photos, tmp_path / "expected")
        names = [path.relative_to(photos).with_stem(f"{path.stem}_4x") for path in (first, second, third)]
        results = [
            large / "photos" / names[0],
            large / "more/deep/b_4x.png",
            large / f"127.0.0.1:{port}" / (tmp_path / "photos" / names[2]).relative_to("/"),
        ]
        assert [path.read_bytes() for path in results] == [expected[name.as_posix()] for name in names]
        assert sorted(path for path in large.rglob("*_4x*") if path.is_file()) == sorted(results)  # and nothing half written
        assert sorted(row["status"] for row in ledger(large)) == ["done", "done", "done", "failed"]
        assert servers.PASSWORD not in str(ledger(large))

        again = two_nodes.run(str(tmp_path / "list.parquet"), f"{server}{large}", "--column", "photo", code=1)
        assert again.startswith("0 images to upscale, 3 done before, 1 failed before")
