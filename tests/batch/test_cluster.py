"""`edgesr batch` on a real cluster of two nodes: every picture exactly once, whatever is killed, from and to real servers.

All that needs the cluster is in this file, so that parallel tests start only one. `benchmarks/batch.py kills` does it with 2,000 pictures.
"""

from __future__ import annotations

import io
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import fsspec
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import servers
from cluster_runs import ledger, make_pictures
from command_line import edgesr_
from PIL import Image


def workers() -> list[psutil.Process]:
    """The processes of this test's cluster that hold a network."""
    return [process for process in psutil.Process().children(recursive=True) if "MapWorker" in _title(process)]


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def wait_for(condition: Callable[[], bool], seconds: float = 400) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)


def results(dest: Path) -> dict[str, bytes]:
    return {
        path.relative_to(dest).as_posix(): path.read_bytes()
        for path in dest.rglob("*")
        if path.is_file()
        and not path.relative_to(dest).as_posix().startswith(".edgesr/")
        and not path.name.startswith(".edgesr-")
    }


def upscaled(photos: Path, folder: Path) -> dict[str, bytes]:
    """What `edgesr upscale` makes of a folder."""
    edgesr_("upscale", str(photos), "--recursive", "--quiet", "-o", str(folder))
    return results(folder)


class Interrupted(NamedTuple):
    """A run of which a worker, then the driver was killed, and the one that went on, of which another worker was killed."""

    photos: Path  # 70 pictures, 2 of them broken
    large: Path
    before: dict[str, bytes]  # results when the driver was killed
    known: list[dict[str, Any]]  # the ledger then
    said: str  # by the second run


@pytest.fixture(scope="module")
def interrupted(two_nodes, tmp_path_factory) -> Interrupted:
    folder = tmp_path_factory.mktemp("interrupted")
    photos, large = folder / "photos", folder / "large"
    make_pictures(photos, 70, broken=2)
    choose = random.Random(0)

    def kill_a_worker() -> None:
        wait_for(lambda: bool(workers()))
        os.kill(choose.choice(workers()).pid, signal.SIGKILL)

    running = two_nodes.start(str(photos), str(large))
    wait_for(lambda: len(results(large)) >= 3)
    kill_a_worker()
    wait_for(lambda: len([*(large / ".edgesr/ledger").glob("*.parquet")]) >= 3)
    running.kill()
    running.communicate()
    wait_for(lambda: not workers())
    before, known = results(large), [row for row in ledger(large) if row["status"] == "done"]

    running = two_nodes.start(str(photos), str(large))
    wait_for(lambda: len(results(large)) > len(before))
    kill_a_worker()
    out, said = (stream.decode() for stream in running.communicate(timeout=400))
    assert running.returncode == 1, said
    assert not out, "Ray has told of the worker that ended"
    return Interrupted(photos, large, before, known, said)


def test_every_input_is_in_the_ledger_once_with_the_bytes_of_upscale_although_workers_and_driver_are_killed(
    interrupted, tmp_path
):
    photos, large, *_ = interrupted
    assert interrupted.said.count("edgesr: ") == 2
    assert results(large) == upscaled(photos, tmp_path / "expected")
    rows = ledger(large)
    assert Counter(row["input"] for row in rows) == Counter(str(path) for path in photos.rglob("*.*"))
    assert Counter(row["status"] for row in rows) == {"done": 68, "failed": 2}
    for row in rows:
        if row["status"] == "done":
            assert row["output_bytes"] == (large / row["output"]).stat().st_size
            assert row["input_bytes"] == Path(row["input"]).stat().st_size
            assert row["seconds"] > 0
            assert "onnxruntime" in row["engine"]
        else:
            assert row["input"] in row["error"]
    assert not [*(large / ".edgesr/plan").iterdir(), *(large / ".edgesr/tries").iterdir()]


def test_a_later_run_does_only_what_is_missing_changed_or_failed(two_nodes, interrupted):
    photos, large, before, known, said = interrupted
    assert 0 < len(known) <= len(before) < 68
    assert f", {len(known)} done before" in said
    rows = {row["output"]: row for row in ledger(large)}
    assert [rows[row["output"]] for row in known] == known  # not done again
    present = results(large)
    assert {output: present[output] for output in before} == before

    said = two_nodes.run(str(photos), str(large), code=1)
    assert said.startswith("0 images to upscale, 68 done before, 2 failed before")

    failed = [Path(row["input"]) for row in rows.values() if row["status"] == "failed"]
    good = next(path for path in photos.rglob("*.*") if path not in failed and path.suffix == failed[0].suffix)
    failed[0].write_bytes(good.read_bytes())
    changed, gone = [row for row in rows.values() if row["status"] == "done" and row["output"].endswith(".png")][:2]
    Image.open(changed["input"]).rotate(180).save(changed["input"])
    (large / gone["output"]).unlink()
    said = two_nodes.run(str(photos), str(large), "--retry-failed", code=1)
    assert said.startswith("4 images to upscale, 66 done before")
    assert str(failed[1]) in said
    again = {row["output"] for row in ledger(large) if row["run"] not in {row["run"] for row in rows.values()}}
    assert {changed["output"], gone["output"]} < again
    assert len(again) == 4
    after = results(large)
    assert len(after) == 69
    assert [name for name in present if after[name] != present[name]] in ([], [changed["output"]])


def contents(fs, folder: str) -> dict[str, bytes]:
    fs.invalidate_cache()
    return {path[len(folder) + 1 :]: fs.cat_file(path) for path in fs.find(folder) if "/.edgesr/" not in path}


def test_from_object_storage_to_object_storage(two_nodes, tmp_path):
    photos = tmp_path / "photos"
    make_pictures(photos, 6, broken=1)
    s3 = fsspec.filesystem("s3")
    s3.mkdir("archive")
    s3.put(f"{photos}/", "archive/photos", recursive=True)
    written = two_nodes.run("s3://archive/photos", "s3://archive/large", code=1)
    assert "s3://archive/photos/" in written.splitlines()[1]  # the broken one
    assert contents(s3, "archive/large") == upscaled(photos, tmp_path / "expected")
    (name,) = s3.ls("archive/large/.edgesr/ledger", detail=False)
    rows = pq.read_table(io.BytesIO(s3.cat_file(name))).to_pylist()
    assert sorted(row["status"] for row in rows) == ["done"] * 5 + ["failed"]
    assert {row["input"] for row in rows} == {f"s3://{path}" for path in s3.find("archive/photos")}

    again = two_nodes.run("s3://archive/photos", "s3://archive/large", code=1)  # by their ETags: unchanged
    assert again.startswith("0 images to upscale, 5 done before, 1 failed before")


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
