"""What cannot work is one line, before any work begins."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cluster_runs import make_pictures
from command_line import COMMAND, ENVIRONMENT

from edgesr import cli
from edgesr.batch import cluster
from edgesr.errors import UsageError


@pytest.fixture
def photos(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    make_pictures(tmp_path / "photos", 2)
    return tmp_path / "photos"


@pytest.fixture
def error_of(photos, capfd) -> Callable[..., str]:
    """Run the command in this process, which loads Ray only once; it must fail with nothing but one line, which is returned."""

    def error_of(*words: str) -> str:
        assert cli.main([*words]) == 2
        out, (line,) = (text.splitlines() for text in capfd.readouterr())
        assert not out
        assert line.startswith("edgesr: ")
        return line

    return error_of


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("gone", "large"), "gone: no such folder"),
        (("", "large"), "SOURCE is empty"),
        (("photos", ""), "DEST is empty"),
        (("photos", "photos/large"), "lie one inside the other"),
        (("photos/0", "."), "lie one inside the other"),
        (("photos", "photos"), "lie one inside the other"),
        (("photos/**/*.gif", "large"), "no images in SOURCE"),
        (("photos", "large", "--scale", "9"), "scale 9 is out of range"),
        (("photos", "large", "--model", "huge"), "huge"),
        (("photos", "large", "--fidelity", "2"), "fidelity"),
        (("photos", "large", "--weights", "gone.onnx"), "gone.onnx: no such file"),
        (("photos", "large", "--engine", "warp"), "unknown engine 'warp'"),
        (("photos", "large", "--cpus-per-worker", "9999"), "--cpus-per-worker 9999: this machine has"),
        (("photos", "large", "--address", "127.0.0.1:1"), "--address 127.0.0.1:1: cannot connect"),
        (("floppy://a/b", "large"), "unknown kind of storage 'floppy'"),
        (("sftp://me:secret@127.0.0.1/a", "large"), "FSSPEC_SFTP_PASSWORD"),
        (("sftp://me@127.0.0.1:1/a", "large"), "cannot be reached"),
        (("photos", "large", "--column", "url"), "--column is for a manifest"),
    ],
)
def test_wrong_arguments(error_of, words, said):
    assert said in error_of("batch", *words)
    assert not list(Path("large").rglob("*_4x*"))


def test_two_sources_of_one_name(photos, error_of):
    for name in ("a.png", "a.bmp"):
        shutil.copy(photos / "1" / "picture 1.png", photos / name)
    assert "have the same result, a_4x.png" in error_of("batch", "photos", "large", "--format", "png")


def test_a_manifest_whose_results_would_overwrite_its_inputs(photos, error_of):
    shutil.copy(photos / "1" / "picture 1.png", photos / "a.png")
    shutil.copy(photos / "a.png", photos / "a_4x.png")
    Path("list.txt").write_text("photos/a.png\nphotos/a_4x.png\n")
    assert "would overwrite the input" in error_of("batch", "list.txt", ".")


def test_manifests_that_cannot_be_read(error_of):
    Path("empty.csv").write_text("")
    assert "its columns are none" in error_of("batch", "empty.csv", "large")
    Path("list.csv").write_text("id,size\n1,2\n")
    assert "its columns are id, size: name one by --column" in error_of("batch", "list.csv", "large")
    assert "no column 'photo'" in error_of("batch", "list.csv", "large", "--column", "photo")
    Path("list.parquet").write_bytes(b"no Parquet")
    assert "cannot be read as a manifest" in error_of("batch", "list.parquet", "large")
    pq.write_table(pa.table({"url": [1, 2]}), "list.parquet")
    assert "its column 'url' is of int64, not text" in error_of("batch", "list.parquet", "large")


def test_a_ledger_of_another_version_or_damaged(error_of):
    folder = Path("large/.edgesr/ledger")
    folder.mkdir(parents=True)
    table = pa.table({"output": ["a"]}).replace_schema_metadata({"edgesr.ledger": "7"})
    pq.write_table(table, folder / "merged-0-0000.parquet")
    assert "a ledger of version 7, this edgesr reads version 1" in error_of("batch", "photos", "large")
    (folder / "merged-0-0000.parquet").write_bytes(b"half")
    assert "merged-0-0000.parquet: cannot be read" in error_of("batch", "photos", "large")


def test_object_storage_without_bucket_or_credentials(photos, object_store):
    def said(**environment: str) -> str:
        done = subprocess.run(
            [*COMMAND, "batch", "photos", "s3://gone/large"],
            env={**ENVIRONMENT, "AWS_ENDPOINT_URL": object_store, "AWS_EC2_METADATA_DISABLED": "true", **environment},
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 2
        (line,) = done.stderr.decode().splitlines()
        return line

    assert "s3://gone/large: no credentials" in said(HOME="/nonexistent")
    assert "s3://gone/large: no such folder or bucket" in said(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test")


@pytest.mark.parametrize(("package", "source", "extra"), [("ray", "photos", "[ray]"), ("s3fs", "s3://a/b", "[s3]")])
def test_a_missing_extra_is_named(photos, package, source, extra):
    hide = f"import sys; sys.modules[{package!r}] = None; from edgesr.cli import main; sys.exit(main(sys.argv[1:]))"
    words = ["batch", source, "large"]
    done = subprocess.run([sys.executable, "-c", hide, *words], env=ENVIRONMENT, capture_output=True, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.decode().splitlines()
    assert f"'{package}'" in line
    assert extra in line


@pytest.mark.parametrize("failures", [2, 9])
def test_ray_is_started_again_where_its_processes_were_too_slow(failures, monkeypatch):
    ray, calls = pytest.importorskip("ray"), []

    def init(**_options):
        calls.append(1)
        if len(calls) <= failures:
            raise RuntimeError("The current node timed out during startup.")

    monkeypatch.setattr(ray, "init", init)
    outcome = pytest.raises(UsageError, match="Ray does not start on this machine") if failures > 2 else nullcontext()
    with outcome, cluster.connected(None, cluster.Resources(cpus=1, gpus=0)):
        pass
    assert len(calls) == 3
