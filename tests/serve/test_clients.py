"""The example clients of the HTTP API, as the pages show them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from visits import serving

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
TSC = ROOT / "web/node_modules/.bin/tsc"
TYPES = ["--types", "node", "--typeRoots", ROOT / "web/node_modules/@types"]
MODERN = ["--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler", *TYPES]


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


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """The command that runs the TypeScript client: Node itself if it takes types out, else what tsc makes of it."""
    node, source = shutil.which("node"), EXAMPLES / "http_client.ts"
    if node is None or not TSC.is_file():
        pytest.skip("the page is built with Node and npm, which are not here")
    feature = subprocess.run([node, "-p", "process.features.typescript"], capture_output=True, text=True, check=True)
    if feature.stdout == "strip\n":
        return node, source
    folder = tmp_path_factory.mktemp("client")
    subprocess.run([TSC, *MODERN, "--outDir", folder, source], check=True)
    return node, (folder / "http_client.js").rename(folder / "http_client.mjs")


def test_the_typescript_client(api, client, tmp_path):
    large = tmp_path / "large.webp"
    done = _run(*client, EXAMPLES / "cat.jpg", large, api)
    assert done.returncode == 0, done.stderr
    assert (Image.open(large).format, Image.open(large).size) == ("WEBP", (640, 428))
    same = tmp_path / "same.webp"
    done = _run(*client, EXAMPLES / "cat.jpg", same, api, "job")
    assert (done.returncode, same.read_bytes()) == (0, large.read_bytes()), done.stderr
    assert "100%" in done.stderr
    again = _run(*client, EXAMPLES / "cat.jpg", large, api)
    assert (again.returncode, large.read_bytes()) == (1, same.read_bytes())
    assert "exist" in again.stderr


def test_the_typescript_client_says_why_it_fails(api, client, tmp_path):
    none = tmp_path / "none.png"
    for words, reason in [
        ((EXAMPLES / "README.md", none, api), "README.md: "),
        ((EXAMPLES / "README.md", none, api, "job"), "README.md: "),
        ((EXAMPLES / "cat.jpg", none, "http://127.0.0.1:1"), "http://127.0.0.1:1 does not answer"),
        ((EXAMPLES / "cat.jpg", tmp_path / "none.xyz", api), "format"),
        ((), "usage: "),
    ]:
        done = _run(*client, *words)
        assert done.returncode in (1, 2)
        assert reason in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("right", "wrong"), [("scale: 2", "scale: '2'"), ('format: "png"', 'format: "gif"')])
def test_the_typescript_client_is_typed(client, tmp_path, right, wrong):
    """As in a user's project: a program that uses it type-checks strictly, and a wrong option does not."""
    (tmp_path / "http_client.ts").write_bytes((EXAMPLES / "http_client.ts").read_bytes())
    program = tmp_path / "program.ts"
    command = [TSC, "--strict", "--erasableSyntaxOnly", "--noEmit", *MODERN, program]
    for option, code in [(right, 0), (wrong, 1)]:
        call = f'import {{ upscale }} from "./http_client";\nexport const large: Promise<Blob> = upscale(new Blob([]), {{ {option} }});\n'
        program.write_text(call, encoding="utf-8")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode != 0) == bool(code), done.stdout
