"""The page in the package: built when the package is, and missing only where it cannot be built."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("hatchling")
pytest.importorskip("build")

ROOT = Path(__file__).parents[2]
PAGE = "edgesr/serve/page/"


def make_wheel(tree, out, **environment):
    """Make the wheel where there is no npm; the finished process, and the names of the page's files in the wheel."""
    env = os.environ | {"PATH": str(Path(sys.executable).parent)} | environment
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", out, tree]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    names = [name for wheel in out.glob("*.whl") for name in zipfile.ZipFile(wheel).namelist()]
    return done, {name.removeprefix(PAGE) for name in names if name.startswith(PAGE)}


def test_a_wheel_holds_the_whole_page(built_page, tmp_path) -> None:
    done, names = make_wheel(ROOT, tmp_path, EDGESR_PAGE="require")
    assert done.returncode == 0, done.stdout + done.stderr
    built = {path.relative_to(built_page).as_posix() for path in built_page.rglob("*") if path.is_file()}
    assert names == {name for name in built if not name.endswith(".gz") and not name.startswith("model/")}


def test_without_npm_the_package_is_made_without_the_page_unless_that_is_required(tmp_path) -> None:
    tree = tmp_path / "tree"
    unwanted = shutil.ignore_patterns("page", "page.*", "node_modules", "__pycache__")
    for name in ("src", "web", "examples"):
        shutil.copytree(ROOT / name, tree / name, ignore=unwanted)
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", "CHANGELOG.md"):
        shutil.copy(ROOT / name, tree)
    done, names = make_wheel(tree, tmp_path / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (done.stdout + done.stderr).count("the page was not built: npm is not here") == 1
    assert names == set()
    done, _ = make_wheel(tree, tmp_path / "none", EDGESR_PAGE="require")
    assert done.returncode != 0
    assert "the page was not built: npm is not here" in done.stdout + done.stderr
