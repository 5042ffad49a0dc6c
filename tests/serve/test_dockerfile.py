"""The steps of Dockerfile, one by one in a fresh folder, with this machine's programs: deploy/check.sh builds the image itself.

Two steps that take long are shortened: what npm has installed here is linked, and pip installs the package without what it depends on.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
import urllib.request
from fnmatch import fnmatch
from pathlib import Path

import pytest

pytest.importorskip("hatchling")

ROOT = Path(__file__).parents[2]
PREFIX = "/opt/edgesr"


def instructions():
    """The Dockerfile's instructions: (word, the rest of its line)."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [tuple(line.split(maxsplit=1)) for line in lines if line]


def in_context(name):
    """Whether .dockerignore, which excludes everything first, lets a file or folder of the repository through."""
    taken = True
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").split():
        pattern = line.removeprefix("!").removeprefix("**/")
        if fnmatch(name, pattern) or Path(name).is_relative_to(pattern) or fnmatch(Path(name).name, pattern):
            taken = line.startswith("!")
    return taken


def copy(source, target, ignore=None):
    if source.is_dir():
        shutil.copytree(source, target, ignore=ignore, dirs_exist_ok=True, symlinks=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


def unwanted(folder, names):
    return [name for name in names if not in_context((Path(folder) / name).relative_to(ROOT).as_posix())]


def follow(folder):
    """Follow the instructions in `folder`; return what is started and how its health is asked."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment |= {"PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0"}  # pip reads the second as: no isolation
    started, stage = {}, folder
    for word, rest in instructions():
        if word == "FROM":
            stage = folder / (rest.partition(" AS ")[2] or "image") / "build"
            stage.mkdir(parents=True)
        elif word == "COPY":
            *names, target = rest.removeprefix("--from=").split()
            if not rest.startswith("--from="):
                assert [name for name in names if not in_context(name)] == [], "excluded by .dockerignore"
                for name in names:
                    into = stage / target / (Path(name).name if target.endswith("/") else "")
                    copy(ROOT / name, into, ignore=unwanted)
            elif target != PREFIX:  # which all stages share here
                copy(folder / names[0] / names[1].lstrip("/"), stage / target)
        elif word == "RUN" and rest.endswith("npm --prefix web ci"):
            (stage / "web/node_modules").symlink_to(ROOT / "web/node_modules")
        elif word == "RUN":
            command = rest.replace(PREFIX, str(folder / PREFIX.lstrip("/")))
            done = subprocess.run(
                ["sh", "-c", command], cwd=stage, env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{rest}: {done.stdout}{done.stderr}"
            if "-m venv" in rest:  # the libraries are this environment's, after its own
                (site,) = (folder / PREFIX.lstrip("/")).glob("lib/python*/site-packages")
                (site / "here.pth").write_text(sysconfig.get_path("purelib"))
        elif word in ("HEALTHCHECK", "ENTRYPOINT", "CMD"):
            started[word] = json.loads(rest[rest.index("[") :])
    return started


def test_its_steps_make_a_server_that_is_healthy_and_has_the_page(built_page, tmp_path):
    started = follow(tmp_path)
    env = os.environ | {"PATH": f"{tmp_path / PREFIX.lstrip('/') / 'bin'}:{os.environ['PATH']}", "PYTHONSAFEPATH": "1"}
    env.pop("PYTHONPATH", None)
    command = [*started["ENTRYPOINT"], *started["CMD"], "--host", "127.0.0.1", "--port", "0"]
    with subprocess.Popen(
        command, env=env, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as server:
        try:
            told = next((line for line in server.stderr if "http://" in line), None)
            assert told is not None, "the server did not start"
            address = told.split()[1]
            health = [word.replace("http://127.0.0.1:7860", address) for word in started["HEALTHCHECK"]]
            for _ in range(50):
                if subprocess.run(health, env=env, capture_output=True, check=False).returncode == 0:
                    break
                time.sleep(0.2)
            else:
                pytest.fail("the health check never passes")
            assert b"<title>" in urllib.request.urlopen(address).read()
        finally:
            server.terminate()
            server.communicate(timeout=30)
    where = subprocess.run(
        ["python3", "-c", "import edgesr; print(edgesr.__file__)"],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert where.stdout.startswith(str(tmp_path)), "the package of the image, not that of this environment"
