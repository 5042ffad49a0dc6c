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


@pytest.fixture(scope="module")
def wheel(built_page, tmp_path_factory):
    """A wheel with the page, and the names of the page's files in it."""
    out = tmp_path_factory.mktemp("wheel")
    done, names = make_wheel(ROOT, out, EDGESR_PAGE="require")
    assert done.returncode == 0, done.stdout + done.stderr
    return next(out.glob("*.whl")), names


def test_a_wheel_holds_the_whole_page(built_page, wheel) -> None:
    _, names = wheel
    built = {path.relative_to(built_page).as_posix() for path in built_page.rglob("*") if path.is_file()}
    assert names == {name for name in built if not name.endswith(".gz") and not name.startswith("model/")}


def test_a_wheel_upscales_where_no_clone_is(wheel, tmp_path) -> None:
    path, _ = wheel
    assert f"pipx install dist/{path.name} " in (ROOT / "docs/deployment.md").read_text(encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", tmp_path / "installed", path]
    subprocess.run(pip, check=True)
    env = os.environ | {"PYTHONPATH": str(tmp_path / "installed")}
    code = "import edgesr, sys; print(edgesr.__file__); from edgesr.cli import main; sys.exit(main())"
    words = ["upscale", ROOT / "examples/cat.jpg", "-o", "large.png"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], env=env, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(tmp_path / "installed")
    assert (tmp_path / "large.png").is_file()


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
