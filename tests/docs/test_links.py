"""Links of the documents lead somewhere: to files that exist, and from a method's equations to the functions that they name."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_to_a_file(page):
    for target in re.findall(r"\]\((?!https?://|#|mailto:)([^)#\s]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_the_readmes_results_are_those_of_the_judge():
    done = subprocess.run([sys.executable, ROOT / "tools" / "results.py", "--check"], check=False)
    assert done.returncode == 0, "run python tools/results.py"


def test_each_equation_leads_to_its_function():
    page = ROOT / "docs" / "method.md"
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "link_lines.py", "--check", page], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    equations = re.findall(r"^\| (\d) \|.*$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert equations == ["1", "2", "3", "4", "5", "6"]
    for line in page.read_text(encoding="utf-8").splitlines():
        if re.match(r"\| \d \| (?!`)", line) and "equation" not in line:
            assert "#L" in line, line
