"""The files for operators are taken by the programs that read them, and do what they say with a real server."""

from __future__ import annotations

import json
import re
import shutil
import socket
import ssl
import subprocess
import time
from http.client import HTTPSConnection
from pathlib import Path

import pytest
from command_line import edgesr_
from visits import serving

from edgesr.serve import memory
from edgesr.serve.limits import Limits

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
NAME = "pictures.example"


def _tool(name):
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    return path or pytest.skip(f"{name} is not here")


def _free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture(scope="module")
def proxy(tmp_path_factory):
    """nginx by deploy/nginx.conf before a server; the port of its TLS."""
    nginx, openssl = _tool("nginx"), _tool("openssl")
    folder, port = tmp_path_factory.mktemp("nginx"), _free_port()
    certificate = [
        "-keyout",
        "privkey.pem",
        "-out",
        "fullchain.pem",
        "-subj",
        f"/CN={NAME}",
        "-addext",
        f"subjectAltName=DNS:{NAME}",
    ]
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", *certificate], cwd=folder, check=True, capture_output=True
    )
    with serving("--allow-host", NAME) as (address, _):
        site = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
        site = site.replace("/etc/ssl/pictures.example", str(folder)).replace("http://127.0.0.1:7860", address)
        site = site.replace("listen [::]:443 ssl;", "").replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl")
        (folder / "site.conf").write_text(site, encoding="utf-8")
        paths = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        main = f"daemon off; pid {folder}/pid; error_log stderr; events {{}} http {{ access_log off; {paths} include {folder}/site.conf; }}"
        (folder / "nginx.conf").write_text(main, encoding="utf-8")
        running = subprocess.Popen([nginx, "-c", str(folder / "nginx.conf"), "-p", str(folder)], stderr=subprocess.DEVNULL)
        try:
            for _ in range(100):
                with socket.socket() as one:
                    if one.connect_ex(("127.0.0.1", port)) == 0:
                        break
                assert running.poll() is None, "nginx refuses the configuration"
                time.sleep(0.1)
            yield port, folder / "fullchain.pem"
        finally:
            running.terminate()
            running.wait(timeout=30)


def _ask(proxy, method, path, body=None, headers=None):
    port, certificate = proxy
    connection = HTTPSConnection(NAME, port, context=ssl.create_default_context(cafile=certificate), timeout=60)
    raw = socket.create_connection(("127.0.0.1", port))
    connection.sock = connection._context.wrap_socket(raw, server_hostname=NAME)
    connection.request(method, path, body, {"Host": NAME} | (headers or {}))
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_nginx_passes_pictures_and_keeps_what_is_too_large(proxy):
    status, body = _ask(proxy, "GET", "/health")
    assert (status, json.loads(body)["status"]) == (200, "ok")
    status, body = _ask(proxy, "POST", "/v1/upscale?scale=1&format=png", (ROOT / "examples/cat.jpg").read_bytes())
    assert (status, body[:4]) == (200, b"\x89PNG")
    assert _ask(proxy, "POST", "/v1/upscale", headers={"Content-Length": str(2**26)})[0] == 413
    assert _ask(proxy, "GET", "/metrics")[0] == 200  # from this machine


def test_the_server_answers_no_name_that_the_proxy_does_not_have(proxy):
    assert _ask(proxy, "GET", "/v1/models", headers={"Host": "other.example"})[0] == 403


def test_systemd_takes_the_unit(tmp_path):
    text = (DEPLOY / "edgesr.service").read_text(encoding="utf-8")
    unit = tmp_path / "edgesr.service"
    unit.write_text(text.replace("/opt/edgesr/bin/edgesr", shutil.which("true")), encoding="utf-8")
    done = subprocess.run([_tool("systemd-analyze"), "verify", str(unit)], capture_output=True, text=True, check=False)
    complaints = [line for line in done.stderr.splitlines() if "edgesr.service" in line]
    assert (done.returncode, complaints) == (0, []), done.stderr


def test_commands_use_flags_that_the_server_has():
    known = edgesr_("serve", "--help").stdout.decode()
    texts = [(DEPLOY / name).read_text(encoding="utf-8") for name in ("edgesr.service", "compose.yaml")]
    texts.append((ROOT / "Dockerfile").read_text(encoding="utf-8"))
    started = re.findall(r"^#?(?:ExecStart=|CMD |    command: ).*serve(.*)", "\n".join(texts), re.MULTILINE)
    used = set(re.findall(r"--[a-z-]+", " ".join(started)))
    assert {"--access-log", "--host", "--token-file"} <= used
    assert [flag for flag in used if flag not in known] == []


def _promise(command):
    """MB that a command of the server promises to stay below, and the pixels of the largest picture that it then takes."""
    limit = int(re.search(r"--max-memory\W+(\d+)", command).group(1))
    return limit, memory.shares(limit, 1, Limits.queue, None, None).pixels


def test_the_server_stays_below_the_memory_that_its_service_may_have():
    units = {"k": 2**10, "m": 2**20, "g": 2**30}

    def megabytes(size):
        return int(size[:-1]) * units[size[-1].lower()] / 1e6

    unit, compose = ((DEPLOY / name).read_text(encoding="utf-8") for name in ("edgesr.service", "compose.yaml"))
    for command in re.findall(r"^#?ExecStart=.*", unit, re.MULTILINE):
        limit, pixels = _promise(command)
        assert limit < megabytes(re.search(r"^MemoryMax=(\w+)", unit, re.MULTILINE).group(1))
        assert pixels == Limits.pixels
    limit, pixels = _promise(re.search(r"^    command: .*", compose, re.MULTILINE).group())
    results = megabytes(re.search(r"/tmp:size=(\w+)", compose).group(1))  # in memory, of which the server counts none
    assert limit + results < megabytes(re.search(r"^    mem_limit: (\w+)", compose, re.MULTILINE).group(1))
    assert pixels == Limits.pixels


def test_compose_opens_the_port_to_this_machine_alone():
    yaml = pytest.importorskip("yaml", reason="the package pyyaml is not installed")
    service = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]["edgesr"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert service["read_only"] is True
    assert "EDGESR_TOKEN" in service["environment"]
