"""The plan of docs/scale.md follows from its measured figures by the script's arithmetic."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

pytest.importorskip("pyarrow")

ROOT = Path(__file__).parents[2]


@pytest.fixture
def batch(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    monkeypatch.delitem(sys.modules, "batch", raising=False)
    import batch

    yield batch
    sys.modules.pop("batch", None)


def test_core_hours_hours_and_dollars(batch):
    assert batch.cost(1_000_000, seconds=0.36, cores=10, price=0.05) == pytest.approx((100, 10, 5))


def test_the_page_has_what_the_script_computes(batch):
    page = (ROOT / "docs/scale.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+)x\1 -> [\dx]+ \| ([\d.]+) s \| ([\d,]+) \| ([\d.]+) \| \$([\d,]+) \|", page, re.MULTILINE)
    assert len(rows) >= 2
    for _, seconds, *shown in rows:
        computed = batch.cost(1_000_000, float(seconds), batch.OPTIONS.cores, batch.OPTIONS.price)
        assert [float(each.replace(",", "")) for each in shown] == [
            round(each, digits) for each, digits in zip(computed, (0, 1, 0), strict=True)
        ]
