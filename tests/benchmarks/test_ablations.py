"""What the table of ablations may be trusted for: divergence is a result, any other failure is none, and all of the time counts."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("matplotlib")
pytest.importorskip("efficientnet_lite_pytorch")

from edgesr.errors import DivergedError, EdgesrError


@pytest.fixture
def ablations(monkeypatch, tmp_path):
    """The script, with its results in a folder of the test's and suites that need no scoring."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    monkeypatch.chdir(tmp_path)  # the script goes to the repository's root; back again afterwards
    import ablations

    monkeypatch.setattr(ablations, "RESULTS", tmp_path / "ablations.json")
    monkeypatch.setattr(ablations, "score", lambda checkpoint, suites: {})
    monkeypatch.setattr(sys, "argv", ["ablations.py", "--rows", "ours", "--seeds", "0", "--runs", str(tmp_path / "runs")])
    return ablations


def spend(seconds):
    began = time.process_time()
    while time.process_time() - began < seconds:
        pass


def test_divergence_is_a_result_that_the_table_names(ablations, monkeypatch, tmp_path):
    def train(*arguments, **settings):
        raise DivergedError("step 5: the loss is nan")

    monkeypatch.setattr(ablations.run, "train", train)
    ablations.main()
    results = json.loads((tmp_path / "ablations.json").read_text())
    assert results == {"ours/0": {"failed": "step 5: the loss is nan"}}
    from ablations_report import cell, table

    (line,) = [line for line in table(results).splitlines() if "**ours**" in line]
    assert line.count("| diverged") == 7
    assert cell([1.0, 2.0], 1, diverged=1) == "1.5 ± 0.5 (1 of 3 diverged)"
    assert cell([], 1) == "-"


def test_another_failure_is_no_result_and_stops(ablations, monkeypatch, tmp_path):
    def train(*arguments, **settings):
        raise EdgesrError("the disk is full")

    monkeypatch.setattr(ablations.run, "train", train)
    with pytest.raises(EdgesrError, match="the disk is full"):
        ablations.main()
    assert not (tmp_path / "ablations.json").exists()


def test_the_time_before_an_interruption_counts(ablations, monkeypatch, tmp_path):
    def interrupted(*arguments, **settings):
        spend(0.4)
        raise KeyboardInterrupt

    def train(*arguments, **settings):
        spend(0.1)
        return {"PSNR": 20.0}

    monkeypatch.setattr(ablations.run, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ablations.main()
    monkeypatch.setattr(ablations.run, "train", train)
    ablations.main()
    stages = len(ablations.OURS)
    minutes = json.loads((tmp_path / "ablations.json").read_text())["ours/0"]["cpu minutes"]
    assert 60 * minutes >= 0.4 + 0.1 * stages
    assert 60 * minutes < 0.4 + 0.1 * stages + 1


def test_the_time_before_a_kill_counts_as_well(ablations, monkeypatch, tmp_path):
    """What is written on the way is all that a killed process leaves."""
    monkeypatch.setattr(ablations, "COUNTED_EVERY", 0.05)
    file = tmp_path / "run" / "cpu-seconds.txt"
    with ablations.counted(file) as spent:
        while not file.exists() or float(file.read_text()) < 0.1:  # its thread may wait for a busy processor
            spend(0.1)
        assert float(file.read_text()) <= spent()
