"""`POST /v1/upscale` and what stands beside it, with real servers: results, limits, refusals, and a graceful end."""

from __future__ import annotations

import concurrent.futures
import io
import json
import shutil
import socket
import subprocess
import time
from urllib.parse import urlsplit

import httpx
import numpy as np
import psutil
import pytest
from chromium import watched
from command_line import COMMAND, ENVIRONMENT, error_of
from pictures import photograph
from PIL import Image
from starlette.testclient import TestClient
from visits import as_file, pixels_of, serving

from edgesr import Upscaler
from edgesr.serve import pages
from edgesr.serve.app import make_app
from edgesr.serve.limits import Limits

KIND = {"Content-Type": "image/png"}


@pytest.fixture(scope="module")
def api():
    """A server of small limits, and a client of it."""
    limits = ["--max-pixels", "20000", "--max-megabytes", "1", "--queue", "3", "--threads", "1"]
    with serving(*limits) as (address, _), httpx.Client(base_url=address, timeout=60) as client:
        yield client


def refusal(answer, status):
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert set(body) == {"reason", "detail"}
    assert "\n" not in body["detail"] and "Traceback" not in body["detail"]
    return body["reason"]


def test_the_result_is_that_of_the_package(api, small) -> None:
    answer = api.post("/v1/upscale", params={"scale": 3, "fidelity": 1, "sharpness": 0.5}, content=as_file(small), headers=KIND)
    assert answer.headers["content-type"] == "image/png"
    assert np.array_equal(pixels_of(answer.content), Upscaler("tiny", fidelity=1.0)(small, scale=3, sharpness=0.5))


def test_options_choose_format_size_and_metadata(api, small) -> None:
    exif = Image.Exif()
    exif[0x010F] = "A Camera"
    photo = as_file(small, "JPEG", exif=exif)
    kept = api.post("/v1/upscale", params={"width": 100}, content=photo)
    image = Image.open(io.BytesIO(kept.content))
    assert (image.format, image.size, image.getexif()[0x010F]) == ("JPEG", (100, 67), "A Camera")
    bare = api.post("/v1/upscale", params={"strip_metadata": True, "format": "webp", "quality": 50}, content=photo)
    image = Image.open(io.BytesIO(bare.content))
    assert (image.format, bare.headers["content-type"], dict(image.getexif())) == ("WEBP", "image/webp", {})
    see_through = as_file(np.dstack([small, small[:, :, :1]]))
    noted = api.post("/v1/upscale", params={"format": "jpeg"}, content=see_through)
    assert "alpha" in json.loads(noted.headers["x-notes"])[0]


def test_what_cannot_be_done_has_a_status_and_a_reason(api, small) -> None:
    good = as_file(small)
    noise = np.random.default_rng(0).integers(0, 256, (700, 700, 3), np.uint8)
    post = lambda content, **params: api.post("/v1/upscale", params=params, content=content)  # noqa: E731
    assert refusal(post(as_file(noise)), 413) == "body_too_large"
    assert refusal(post(iter([as_file(noise)])), 413) == "body_too_large"
    assert refusal(post(as_file(photograph(200, 101))), 413) == "too_many_pixels"
    assert refusal(post(as_file(photograph(140, 140)), scale=8), 413) == "result_too_large"
    assert refusal(post(b"no picture"), 415) == "not_a_picture"
    assert refusal(api.post("/v1/upscale", content=good, headers={"Content-Type": "text/html"}), 415) == "not_a_picture"
    assert refusal(post(b""), 422) == "empty"
    assert refusal(post(good[:-100]), 422) == "bad_picture"
    assert refusal(post(good, scale=2, width=100), 422) == "bad_option"
    for wrong in (
        {"scale": 9},
        {"scale": "nan"},
        {"fidelity": -1},
        {"format": "exe"},
        {"quality": 0},
        {"width": 0},
        {"sharpness": 2},
    ):
        assert refusal(post(good, **wrong), 422) == "bad_option"
    assert refusal(api.get("/v1/upscale"), 405) == "bad_request"
    assert api.post("/v1/upscale", content=good).status_code == 200


def test_every_error_of_the_api_is_json(api) -> None:
    for path in ("/v1", "/v1/", "/v1/nothing", "/v1/upscale/", "/v1/models/tiny", "/v1/../v1/x"):
        for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"):
            answer = api.request(method, path)
            assert (answer.status_code, answer.headers["content-type"]) == (404, "application/json"), (method, path)
            assert method == "HEAD" or refusal(answer, 404) == "not_found"
    assert api.get("/v1/upscal").json()["detail"] == "no such path; did you mean /v1/upscale?"
    assert "/v1/models" in api.get("/v1").json()["detail"]
    for path, method, allowed in (
        ("/v1/upscale", "DELETE", "POST"),
        ("/v1/upscale", "HEAD", "POST"),
        ("/v1/models", "POST", "GET"),
    ):
        answer = api.request(method, path)
        assert (answer.status_code, answer.headers["content-type"]) == (405, "application/json"), (method, path)
        assert answer.headers["allow"] == allowed


def test_an_unknown_option_names_the_nearest(api, small) -> None:
    picture = as_file(small)
    for query, hint in (
        ("scal=2", "did you mean 'scale'?"),
        ("Width=20", "did you mean 'width'?"),
        ("strip-metadata=true", "did you mean 'strip_metadata'?"),
        ("model=small", "the options are scale, width, height,"),
        ("foo", "the options are scale,"),
        ("scale=2&scale=3", "given 2 times"),
    ):
        answer = api.post(f"/v1/upscale?{query}", content=picture)
        assert refusal(answer, 422) == "bad_option"
        assert hint in answer.json()["detail"], query
    answer = api.get("/v1/models?foo=1")
    assert refusal(answer, 422) == "bad_option"
    assert answer.json()["detail"] == "unknown option 'foo'; this endpoint has none"


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize(
    "words", [["-F", "file=@{}"], ["-F", "a picture=@{};type=text/html"], ["--data-binary", "@{}"], ["-T", "{}", "-X", "POST"]]
)
def test_curl_sends_a_file_as_people_type_it(api, small, tmp_path, words) -> None:
    file = tmp_path / "a b.png"
    file.write_bytes(as_file(small))
    address = f"{api.base_url}/v1/upscale?scale=2".replace("//v1", "/v1")
    done = subprocess.run(
        ["curl", "-sS", "-f", *(word.format(file) for word in words), address], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert np.array_equal(pixels_of(done.stdout), Upscaler("tiny")(small, scale=2))


def test_a_file_that_curl_robbed_of_its_line_breaks_names_the_right_option(api, tmp_path) -> None:
    (tmp_path / "a.jpg").write_bytes(as_file(photograph(48, 72), "JPEG"))
    command = ["curl", "-sS", "-d", f"@{tmp_path / 'a.jpg'}", f"{api.base_url}/v1/upscale".replace("//v1", "/v1")]
    answer = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert answer["reason"] == "bad_picture"
    assert "use --data-binary @FILE, or -F file=@FILE" in answer["detail"]


def test_a_form_without_exactly_one_file_is_refused(api, small) -> None:
    good = as_file(small)
    field = lambda name, content, more="": (  # noqa: E731
        b"--x\r\nContent-Disposition: form-data; name=%s%s\r\n\r\n%s\r\n" % (name.encode(), more.encode(), content)
    )
    file = field("a", good, "; filename=a.png")
    post = lambda content, kind="multipart/form-data; boundary=x", **params: api.post(  # noqa: E731
        "/v1/upscale", content=content, headers={"Content-Type": kind}, params=params
    )
    for body, hint in (
        (b"", "no file"),
        (b"--x--\r\n", "no file"),
        (field("scale", b"2") + b"--x--\r\n", "'scale' is not a file"),
        (file + field("scale", b"2") + b"--x--\r\n", "'scale' is not a file"),
        (file + field("b", good, "; filename=b.png") + b"--x--\r\n", "several files"),
        (file, "incomplete"),
        (good, "malformed"),
        (b"--x\r\n" + b"X: %s\r\n" % (b"a" * 3000) * 2, "headers are too long"),
    ):
        answer = post(body)
        assert refusal(answer, 422) == "bad_form"
        assert hint in answer.json()["detail"], (hint, answer.text)
    for kind in ("multipart/form-data", f"multipart/form-data; boundary={'x' * 300}"):
        assert refusal(post(file, kind), 422) == "bad_form"
    assert refusal(post(field("a", b"", "; filename=a.png") + b"--x--\r\n"), 422) == "empty"
    assert refusal(post(field("a", b"no picture", "; filename=a.png") + b"--x--\r\n"), 415) == "not_a_picture"
    assert refusal(post(b"scale=2", "application/x-www-form-urlencoded"), 415) == "not_a_picture"
    bytewise = (bytes([one]) for one in file + b"--x--\r\n")
    assert np.array_equal(pixels_of(post(bytewise, scale=2).content), Upscaler("tiny")(small, scale=2))


def test_a_file_in_a_form_has_the_limits_of_any_other(api) -> None:
    rng = np.random.default_rng(0)
    for pixels, reason in (
        (rng.integers(0, 256, (700, 700, 3), np.uint8), "body_too_large"),
        (photograph(200, 101), "too_many_pixels"),
    ):
        content = as_file(pixels)
        assert refusal(api.post("/v1/upscale", files={"file": ("a.png", content)}), 413) == reason
    head = b"--x\r\nContent-Disposition: form-data; name=a; filename=b\r\n\r\n"
    endless = (piece for piece in [head, *[bytes(2**16)] * 40])
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    assert refusal(api.post("/v1/upscale", content=endless, headers=kind), 413) == "body_too_large"


def test_a_defect_is_json_without_details(monkeypatch, caplog) -> None:
    app = make_app(Limits())
    monkeypatch.setattr("edgesr.serve.app.list_models", lambda: 1 / 0)
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        answer = client.get("/v1/models")
    assert refusal(answer, 500) == "internal"
    assert "division" not in answer.text


def test_no_address_leads_out_of_the_page(api) -> None:
    for path in ("/../pyproject.toml", "/%2e%2e/%2e%2e/presets.py", "//etc/passwd", "/model/../app.py", "/page/index.html"):
        answer = api.get(path)
        assert answer.status_code == 404, path
    assert api.get("/model/tiny.onnx").status_code == 200


def test_it_describes_itself_for_people_and_programs(api) -> None:
    schema = api.get("/openapi.json").json()
    description = schema["paths"]["/v1/upscale"]["post"]["description"]
    for name in ("application/octet-stream", "multipart/form-data", "JPEG, PNG, WebP", "curl -F file=@small.jpg"):
        assert name in description
    assert "curl -F file=@small.jpg" in schema["paths"]["/v1/jobs"]["post"]["description"]
    assert {"413", "415", "422", "429", "503"} <= set(schema["paths"]["/v1/upscale"]["post"]["responses"])
    assert api.get("/health").json()["status"] == "ok"
    assert "tiny" in [model["name"] for model in api.get("/v1/models").json()]


def test_people_read_and_try_the_description_in_a_browser(browser, api, small) -> None:
    address = str(api.base_url).rstrip("/")
    with watched(browser) as window:
        page, _ = window((address, "blob:"))
        page.set_default_timeout(60_000)
        page.goto(f"{address}/docs")
        page.click(".opblock-summary:has-text('/v1/upscale')")
        page.wait_for_selector("text=curl -F file=@small.jpg")
        page.click("text=Try it out")
        page.set_input_files("input[type=file]", {"name": "a.png", "mimeType": "image/png", "buffer": as_file(small)})
        page.click("text=Execute")
        page.wait_for_selector(".live-responses-table img")
        shown = "image => image.decode().then(() => [image.naturalWidth, image.naturalHeight])"
        assert page.eval_on_selector(".live-responses-table img", shown) == [288, 192]


def test_pages_of_other_sites_neither_make_it_work_nor_read_its_answers(api, small) -> None:
    """The first asks under its own name, which leads here (DNS rebinding); the second sends a picture from its own address."""
    port, picture = urlsplit(str(api.base_url)).port, as_file(small)
    for host in (f"evil.example:{port}", "evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "", "[::1", "1"):
        for path in ("/", "/health", "/v1/models", "/docs"):
            assert refusal(api.get(path, headers={"Host": host}), 403) == "foreign_host"
        assert refusal(api.post("/v1/upscale", content=picture, headers={"Host": host}), 403) == "foreign_host"
    for origin in ("http://evil.example", "null", f"http://127.0.0.1:{port + 1}", f"http://localhost:{port}", "file://"):
        headers = {"Origin": origin, "Content-Type": "text/plain"}
        assert refusal(api.post("/v1/upscale", content=picture, headers=headers), 403) == "foreign_origin"
        assert refusal(api.get("/health", headers={"Origin": origin}), 403) == "foreign_origin"
    assert api.post("/v1/upscale", content=picture, headers={"Origin": f"http://127.0.0.1:{port}"}).status_code == 200
    for host in (
        f"localhost:{port}",
        f"LOCALHOST:{port}",
        "127.0.0.1",
        f"[::1]:{port}",
        "192.168.1.2:80",
    ):  # no name leads to those
        assert api.get("/health", headers={"Host": host, "Origin": f"http://{host.lower()}"}).status_code == 200


def test_other_names_are_answered_when_asked() -> None:
    with serving("--allow-host", "pictures.example", "--allow-host", "Other.example") as (address, _):
        for host in ("pictures.example", "pictures.example:8080", "other.example"):
            headers = {"Host": host, "Origin": f"https://{host}"}
            assert httpx.get(f"{address}/health", headers=headers).status_code == 200
        assert refusal(httpx.get(f"{address}/health", headers={"Host": "evil.example"}), 403) == "foreign_host"
        forwarded = {"Origin": "https://pictures.example"}  # a proxy that puts its own target into Host
        assert httpx.get(f"{address}/health", headers=forwarded).status_code == 200


def test_pages_of_named_sites_may_use_the_api(small) -> None:
    site = {"Origin": "https://pictures.example"}
    asking = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    with serving(
        "--cors", "https://Pictures.example:443/", "--cors", "http://localhost:5173", "--token", "x", "--threads", "1"
    ) as (
        address,
        _,
    ):
        url = f"{address}/v1/upscale?scale=2"
        for origin in (site, {"Origin": "http://localhost:5173"}):
            preflight = httpx.options(url, headers=origin | asking)
            assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (200, origin["Origin"])
            assert "authorization" in preflight.headers["access-control-allow-headers"].lower()
        answer = httpx.post(url, content=as_file(small), headers=site | {"Authorization": "Bearer x"}, timeout=60)
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, site["Origin"])
        assert "X-Width" in answer.headers["access-control-expose-headers"]
        refused = httpx.post(url, content=b"", headers=site)
        assert refusal(refused, 401) == "unauthorized"
        assert refused.headers["access-control-allow-origin"] == site["Origin"]  # the site can read why
        for other in ("http://pictures.example", "https://pictures.example.evil.example", "null"):
            for headers in (asking, {}):
                answer = httpx.options(url, headers=headers | {"Origin": other})
                assert refusal(answer, 403) == "foreign_origin"
                assert "access-control-allow-origin" not in answer.headers
        assert refusal(httpx.get(f"{address}/health", headers=site | {"Host": "evil.example"}), 403) == "foreign_host"
    assert "origin" in error_of("serve", "--cors", "*")
    assert "origin" in error_of("serve", "--cors", "https://a.example/path")


def test_the_access_log_has_a_line_of_json_for_every_request(small) -> None:
    with serving("--access-log", "--threads", "1") as (address, process):
        files = {"file": ("secret-name.png", as_file(small))}
        answer = httpx.post(f"{address}/v1/upscale?scale=2", files=files, timeout=60)
        httpx.get(f"{address}/v1/a%22b%0Ac")
        httpx.get(f"{address}/health", headers={"Host": "evil.example"})
        lines = [process.stdout.readline() for _ in range(3)]
    assert "secret" not in "".join(lines)
    logged = [json.loads(line) for line in lines]
    assert [(one["method"], one["path"], one["status"]) for one in logged] == [
        ("POST", "/v1/upscale", 200),
        ("GET", '/v1/a"b\nc', 404),
        ("GET", "/health", 403),
    ]
    assert logged[0]["bytes"] == len(answer.content)
    assert logged[0]["ms"] > 0 and "T" in logged[0]["time"]


def test_without_the_option_nothing_is_logged() -> None:
    with serving("--threads", "1") as (address, process):
        assert httpx.get(f"{address}/health").status_code == 200
        process.terminate()
        assert process.stdout.read() == ""


def test_metrics_count_requests_seconds_and_pixels(small) -> None:
    with serving("--threads", "1") as (address, _):
        for _ in range(2):
            assert httpx.post(f"{address}/v1/upscale?scale=2", content=as_file(small), timeout=60).status_code == 200
        httpx.post(f"{address}/v1/upscale", content=b"x")
        for name in range(3):
            httpx.get(f"{address}/{name}")
        answer = httpx.get(f"{address}/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        values = dict(line.rsplit(" ", 1) for line in answer.text.splitlines() if not line.startswith("#"))
    assert values['edgesr_requests_total{path="/v1/upscale",status="200"}'] == "2"
    assert values['edgesr_requests_total{path="/v1/upscale",status="415"}'] == "1"
    assert values['edgesr_requests_total{path="page",status="404"}'] == "3"
    assert values['edgesr_request_seconds_count{path="/v1/upscale"}'] == "3"
    assert float(values['edgesr_request_seconds_sum{path="/v1/upscale"}']) > 0
    assert values["edgesr_images_pending"] == "0"
    assert values["edgesr_pixels_total"] == str(2 * 4 * small.shape[0] * small.shape[1])


def test_a_full_queue_sends_away_and_serves_those_it_took(api) -> None:
    large = as_file(photograph(140, 140))
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: api.post("/v1/upscale", content=large), range(12)))
    statuses = {answer.status_code for answer in answers}
    assert statuses == {200, 429}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refusal(refused, 429) == "queue_full"
    assert int(refused.headers["retry-after"]) > 0
    assert api.get("/health").json()["pending"] == 0


def test_a_body_that_is_too_large_by_its_header_is_not_waited_for(api) -> None:
    address = urlsplit(str(api.base_url))
    with socket.create_connection((address.hostname, address.port), timeout=20) as connection:
        connection.sendall(b"POST /v1/upscale HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000000\r\n\r\n")
        answer = connection.recv(10_000)
    assert answer.startswith(b"HTTP/1.1 413")


def test_slow_clients_do_not_stop_others(api, small) -> None:
    address = urlsplit(str(api.base_url))
    head = b"POST /v1/upscale HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
    slow = [socket.create_connection((address.hostname, address.port)) for _ in range(20)]
    try:
        for connection in slow:
            connection.sendall(head + b"\x89PNG")
        start = time.monotonic()
        assert api.post("/v1/upscale", content=as_file(small)).status_code == 200
        assert time.monotonic() - start < 10
    finally:
        for connection in slow:
            connection.close()


def test_a_picture_that_takes_too_long_is_given_up(small) -> None:
    with serving("--timeout", "1", "--threads", "1", "--queue", "50") as (address, _):
        large = as_file(photograph(512, 512))
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda _: httpx.post(f"{address}/v1/upscale", content=large, timeout=60), range(6)))
        late = [answer for answer in answers if answer.status_code != 200]
        assert late and {refusal(answer, 503) for answer in late} == {"timeout"}
        assert httpx.post(f"{address}/v1/upscale", content=as_file(small)).status_code == 200


def test_with_a_token_only_those_who_have_it_are_served(small) -> None:
    with serving(environment={"EDGESR_TOKEN": "open sesame"}) as (address, _):
        post = lambda **headers: httpx.post(f"{address}/v1/upscale", content=as_file(small), headers=headers)  # noqa: E731
        assert refusal(post(), 401) == "unauthorized"
        assert refusal(post(Authorization="Bearer wrong"), 401) == "unauthorized"
        assert post(Authorization="Bearer open sesame").status_code == 200
        assert post(authorization="bearer open sesame").status_code == 200
        assert post(Authorization="Basic open sesame").status_code == 401
        wrong = httpx.post(f"{address}/v1/upscale", params={"scale": "many"}, content=b"")
        assert refusal(wrong, 401) == "unauthorized"  # before anything is said of the options
        assert "securitySchemes" in httpx.get(f"{address}/openapi.json").json()["components"]
        for open_to_all in ("/health", "/v1/models", "/docs", "/openapi.json", "/model/tiny.onnx"):
            assert httpx.get(f"{address}{open_to_all}").status_code == 200


def test_a_token_comes_from_a_file_that_ps_does_not_show(small, tmp_path) -> None:
    file = tmp_path / "token"
    file.write_text("open sesame\n")
    with serving("--token-file", str(file), environment={"EDGESR_TOKEN": "another"}) as (address, _):
        for token, status in (("open sesame", 200), ("another", 401)):
            headers = {"Authorization": f"Bearer {token}"}
            assert httpx.post(f"{address}/v1/upscale", content=as_file(small), headers=headers).status_code == status


@pytest.mark.parametrize("words", [["--token", ""], ["--token", "  "], ["--token-file", "empty"], ["--token-file", "none"], []])
def test_an_empty_token_serves_nobody(words, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").write_text("\n")
    environment = ENVIRONMENT | ({} if words else {"EDGESR_TOKEN": ""})
    monkeypatch.setattr("command_line.ENVIRONMENT", environment)
    assert "token" in error_of("serve", "--port", "0", *words, timeout=60).lower()


def test_the_api_for_other_machines_without_a_token_is_warned_of() -> None:
    words = [*COMMAND, "serve", "--port", "0", "--threads", "1"]
    for more, environment, warned in (
        (["--host", "0.0.0.0"], {}, True),
        (["--host", "0.0.0.0"], {"EDGESR_TOKEN": "x"}, False),
        ([], {}, False),
    ):
        with subprocess.Popen([*words, *more], env=ENVIRONMENT | environment, stderr=subprocess.PIPE, text=True) as process:
            told = []
            for line in process.stderr:
                told.append(line)
                if "http://" in line:
                    break
            process.terminate()
        assert any("--token" in line for line in told) == warned, told


def test_the_end_waits_for_what_runs(small) -> None:
    with serving("--threads", "1") as (address, process), concurrent.futures.ThreadPoolExecutor(1) as pool:
        httpx.get(f"{address}/health")
        running = pool.submit(httpx.post, f"{address}/v1/upscale", content=as_file(photograph(512, 512)), timeout=60)
        while httpx.get(f"{address}/health").json()["pending"] == 0:
            time.sleep(0.02)
        process.terminate()
        assert running.result().status_code == 200
        assert process.wait(timeout=30) == 143
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{address}/health")


def test_only_this_machine_is_answered_unless_asked() -> None:
    with serving() as (address, _):
        assert urlsplit(address).hostname == "127.0.0.1"
        port = str(urlsplit(address).port)
        assert f"cannot listen on 127.0.0.1:{port}" in error_of("serve", "--port", port, code=1)


def test_without_the_page_it_says_how_to_build_it(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(pages, "PAGE", tmp_path)
    assert not pages.is_built()
    assert set(pages.page_files()) == {
        f"model/{name}" for name in ("tiny.onnx", "tiny-fidelity.npz", "tiny-int8.onnx", "tiny-fidelity-int8.onnx")
    }
    assert pages.BUILD in pages.NOT_BUILT


def test_memory_stays_flat(small) -> None:
    with serving("--threads", "1") as (address, process), httpx.Client(base_url=address, timeout=60) as client:
        pictures = [as_file(small, format) for format in ("PNG", "JPEG", "WEBP")]
        memory = []
        for number in range(200):
            params = {"fidelity": number // 10 % 2}
            assert client.post("/v1/upscale", params=params, content=pictures[number % 3]).status_code == 200
            memory.append(psutil.Process(process.pid).memory_info().rss)
        assert max(memory[-20:]) < 1.1 * max(memory[30:50])
