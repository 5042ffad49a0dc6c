"""`edgesr batch` on a real cluster of two nodes: every picture exactly once, whatever is killed meanwhile."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
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


def test_every_input_is_in_the_ledger_once_and_the_bytes_are_those_of_upscale_although_workers_are_killed(two_nodes, tmp_path):
    photos, large, expected = tmp_path / "photos", tmp_path / "large", tmp_path / "expected"
    pictures = make_pictures(photos, 150, side=96, broken=3)
    choose = random.Random(0)
    running = two_nodes.start(str(photos), str(large))
    for done in (10, 50):
        wait_for(lambda done=done: len(results(large)) >= done)
        wait_for(lambda: bool(workers()))
        os.kill(choose.choice(workers()).pid, signal.SIGKILL)
    written = running.communicate(timeout=400)[1].decode()
    assert running.returncode == 1, written
    assert written.count("edgesr: ") == 3

    edgesr_("upscale", str(photos), "--recursive", "--quiet", "-o", str(expected))
    assert results(large) == results(expected)
    rows = ledger(large)
    assert Counter(row["input"] for row in rows) == Counter(str(path) for path in pictures)
    assert Counter(row["status"] for row in rows) == {"done": 147, "failed": 3}
    for row in rows:
        if row["status"] == "done":
            assert row["output_bytes"] == (large / row["output"]).stat().st_size
            assert row["input_bytes"] == Path(row["input"]).stat().st_size
            assert row["seconds"] > 0
            assert "onnxruntime" in row["engine"]
            assert len(row["weights"]) == 64
        else:
            assert row["input"] in row["error"]
    assert not [*(large / ".edgesr/plan").iterdir(), *(large / ".edgesr/tries").iterdir()]


def test_a_second_run_does_only_what_is_missing_changed_or_failed(two_nodes, tmp_path):
    photos, large = tmp_path / "photos", tmp_path / "large"
    pictures = make_pictures(photos, 120, side=96, broken=2)
    running = two_nodes.start(str(photos), str(large))
    wait_for(lambda: len([*(large / ".edgesr/ledger").glob("*.parquet")]) >= 3)
    running.kill()
    running.communicate()
    wait_for(lambda: not workers())
    interrupted = {row["output"]: row["run"] for row in ledger(large) if row["status"] == "done"}
    present = results(large)
    assert 0 < len(interrupted) <= len(present) < 118

    written = two_nodes.run(str(photos), str(large), code=1)
    rows = {row["output"]: row for row in ledger(large)}
    assert Counter(row["status"] for row in rows.values()) == {"done": 118, "failed": 2}
    assert len(ledger(large)) == 120
    assert {output: rows[output]["run"] for output in interrupted} == interrupted  # not done again
    assert {output: results(large)[output] for output in present} == present
    assert f", {len(interrupted)} done before" in written

    written = two_nodes.run(str(photos), str(large), code=1)
    assert written.startswith("0 images to upscale, 118 done before, 2 failed before")

    failed = [Path(row["input"]) for row in rows.values() if row["status"] == "failed"]
    failed[0].write_bytes(
        next(path for path in pictures if path not in failed and path.suffix == failed[0].suffix).read_bytes()
    )
    changed, gone = [row for row in rows.values() if row["status"] == "done" and row["output"].endswith(".png")][:2]
    Image.open(changed["input"]).rotate(180).save(changed["input"])
    (large / gone["output"]).unlink()
    written = two_nodes.run(str(photos), str(large), "--retry-failed", code=1)
    assert written.startswith("4 images to upscale, 116 done before")
    assert str(failed[1]) in written
    again = {row["output"] for row in ledger(large) if row["run"] not in {row["run"] for row in rows.values()}}
    assert {changed["output"], gone["output"]} < again
    assert len(again) == 4
    after = results(large)
    assert len(after) == 119
    assert [name for name in present if after[name] != present[name]] in ([], [changed["output"]])
