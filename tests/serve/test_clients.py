"""The example clients of the HTTP API, as the pages show them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from visits import serving

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def api():
    with serving("--token", "secret") as (address, _):
        yield address


def _run(*words, token="secret"):
    environment = {"PATH": str(Path(words[0]).parent), "EDGESR_TOKEN": token}
    return subprocess.run([*map(str, words)], env=environment, capture_output=True, text=True, check=False)


def test_the_python_client(api, tmp_path):
    large = tmp_path / "large.png"
    command = (sys.executable, EXAMPLES / "http_client.py", EXAMPLES / "cat.jpg", large, "--server", api)
    done = _run(*command, "--scale", "2")
    assert done.returncode == 0, done.stderr
    assert Image.open(large).size == (320, 214)
    same = tmp_path / "same.png"
    done = _run(*command[:3], same, *command[4:], "--scale", "2", "--job")
    assert (done.returncode, same.read_bytes()) == (0, large.read_bytes()), done.stderr
    assert "100%" in done.stderr
    assert "exists" in _run(*command).stderr
    large.unlink()
    refused = _run(*command, token="wrong")
    assert refused.returncode == 1
    assert "token" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not large.exists()


def test_the_javascript_client(api, tmp_path):
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not here")
    large = tmp_path / "large.webp"
    done = _run(node, EXAMPLES / "http_client.mjs", EXAMPLES / "cat.jpg", large, api)
    assert done.returncode == 0, done.stderr
    assert (Image.open(large).format, Image.open(large).size) == ("WEBP", (640, 428))
    same = tmp_path / "same.webp"
    done = _run(node, EXAMPLES / "http_client.mjs", EXAMPLES / "cat.jpg", same, api, "job")
    assert (done.returncode, same.read_bytes()) == (0, large.read_bytes()), done.stderr
    assert "100%" in done.stderr
    refused = _run(node, EXAMPLES / "http_client.mjs", EXAMPLES / "README.md", tmp_path / "none.png", api)
    assert refused.returncode == 1
    assert "README.md: " in refused.stderr
