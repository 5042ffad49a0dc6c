"""Jobs: images that take longer than a connection should last, by requests of real clients."""

from __future__ import annotations

import json
import time

import httpx
import numpy as np
import pytest
from pictures import photograph
from visits import as_file, pixels_of, serving

from edgesr import Upscaler

LARGE = photograph(1100, 700)  # several windows
TOKEN = {"Authorization": "Bearer secret"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def api(folder):
    """A client of a server with one worker and room for two jobs."""
    words = ["--workers", "1", "--threads", "1", "--max-jobs", "2", "--max-pixels", "1000000"]
    with (
        serving(*words, environment={"TMPDIR": str(folder)}) as (address, _),
        httpx.Client(base_url=address, timeout=60) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def guarded():
    """A client of a server that wants a token and soon forgets results; it upscales in its own process."""
    words = ["--token", "secret", "--threads", "1", "--job-expiry", "1", "--access-log"]
    with serving(*words) as (address, process), httpx.Client(base_url=address, timeout=60) as client:
        client.process = process
        yield client


def refusal(answer, status):
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"reason", "detail"}
    assert "\n" not in answer.json()["detail"]
    return answer.json()["reason"]


def wait_until(client, job, *states, headers=None):
    while True:
        status = client.get(f"/v1/jobs/{job}", headers=headers).json()
        if status["state"] in states:
            return status
        time.sleep(0.05)


def files_in(folder):
    return [path for each in folder.glob("edgesr-*") for path in each.iterdir()]


def test_a_job_has_the_result_of_the_package_until_it_is_deleted(api, small, folder) -> None:
    answer = api.post("/v1/jobs", params={"scale": 3, "fidelity": 1}, content=as_file(small))
    assert answer.status_code == 202
    place = answer.headers["location"]
    assert place == f"/v1/jobs/{answer.json()['id']}" and len(answer.json()["id"]) == 32
    status = wait_until(api, answer.json()["id"], "done")
    assert (status["progress"], status["error"], status["format"]) == (1, None, "image/png")
    assert 3590 < status["expires_in"] <= 3600
    result = api.get(f"{place}/result")
    assert np.array_equal(pixels_of(result.content), Upscaler("tiny", fidelity=1.0)(small, scale=3))
    assert (result.headers["x-width"], len(result.content)) == (str(status["width"]), status["bytes"])
    rest = api.get(f"{place}/result", headers={"Range": "bytes=100-"})
    assert (rest.status_code, rest.content) == (206, result.content[100:])
    assert api.delete(place).status_code == 204
    for path in (place, f"{place}/result", f"{place}/events"):
        assert refusal(api.get(path), 404) == "not_found"
    assert files_in(folder) == []


def test_events_tell_the_progress_and_requests_are_served_meanwhile(api, small) -> None:
    job = api.post("/v1/jobs?format=jpeg", content=as_file(LARGE, "JPEG")).json()["id"]
    told = []
    with api.stream("GET", f"/v1/jobs/{job}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        for line in stream.iter_lines():
            if line.startswith("data: "):
                told.append(json.loads(line.removeprefix("data: ")))
            if len(told) == 2:
                assert httpx.post(api.base_url.join("/v1/upscale"), content=as_file(small), timeout=60).status_code == 200
    progress = [status["progress"] for status in told]
    assert progress == sorted(progress) and progress[-1] == 1 and len(set(progress)) > 3
    assert any(0 < status["progress"] < 1 and status["seconds_left"] > 0 for status in told)
    assert (told[-1]["state"], told[-1]["width"]) == ("done", 2800)
    api.delete(f"/v1/jobs/{job}")


def test_jobs_are_bounded_and_a_deleted_one_stops_and_leaves_no_file(api, small, folder) -> None:
    first = api.post("/v1/jobs", content=as_file(LARGE)).json()["id"]
    second = api.post("/v1/jobs", content=as_file(small)).json()["id"]
    full = api.post("/v1/jobs", content=as_file(small))
    assert refusal(full, 429) == "jobs_full"
    assert int(full.headers["retry-after"]) > 0
    wait_until(api, first, "running")
    assert 'edgesr_jobs{state="waiting"} 1' in api.get("/metrics").text
    early = api.get(f"/v1/jobs/{first}/result")
    assert refusal(early, 409) == "not_done"
    assert api.delete(f"/v1/jobs/{first}").status_code == 204
    wait_until(api, second, "done")
    assert len(files_in(folder)) == 1  # the result of the second
    api.delete(f"/v1/jobs/{second}")
    assert files_in(folder) == []


def test_what_cannot_be_done_is_refused_at_once_or_told_by_the_job(api, small) -> None:
    post = lambda content, **params: api.post("/v1/jobs", params=params, content=content)  # noqa: E731
    assert refusal(post(b"no picture"), 415) == "not_a_picture"
    assert refusal(post(as_file(photograph(1010, 1000))), 413) == "too_many_pixels"
    assert refusal(post(as_file(small), scale=2, width=100), 422) == "bad_option"
    assert refusal(post(as_file(small), scal=2), 422) == "bad_option"
    damaged = post(as_file(small)[:-100]).json()["id"]
    status = wait_until(api, damaged, "failed")
    assert status["error"]["reason"] == "bad_picture"
    assert refusal(api.get(f"/v1/jobs/{damaged}/result"), 422) == "bad_picture"
    assert refusal(api.get(f"/v1/jobs/{damaged}?x=1"), 422) == "bad_option"
    api.delete(f"/v1/jobs/{damaged}")
    wrong = api.put(f"/v1/jobs/{damaged}")
    assert refusal(wrong, 405) == "bad_request"
    assert set(wrong.headers["allow"].split(", ")) == {"GET", "DELETE"}


def test_token_and_host_are_asked_of_every_path_and_ids_are_not_logged(guarded, small) -> None:
    job = guarded.post("/v1/jobs", content=as_file(small), headers=TOKEN).json()["id"]
    for method, path in (
        ("POST", ""),
        ("GET", f"/{job}"),
        ("GET", f"/{job}/events"),
        ("GET", f"/{job}/result"),
        ("DELETE", f"/{job}"),
    ):
        assert refusal(guarded.request(method, f"/v1/jobs{path}"), 401) == "unauthorized"
        foreign = TOKEN | {"Origin": "http://evil.example"}
        assert refusal(guarded.request(method, f"/v1/jobs{path}", headers=foreign), 403) == "foreign_origin"
    wait_until(guarded, job, "done", headers=TOKEN)
    lines = [guarded.process.stdout.readline() for _ in range(11)]
    assert not any(job in line for line in lines)
    assert any('"path": "/v1/jobs/{id}/result", "status": 403' in line for line in lines)


def test_a_result_expires(guarded, small) -> None:
    job = guarded.post("/v1/jobs", content=as_file(small), headers=TOKEN).json()["id"]
    wait_until(guarded, job, "done", headers=TOKEN)
    start = time.monotonic()
    while guarded.get(f"/v1/jobs/{job}", headers=TOKEN).status_code == 200:
        assert time.monotonic() - start < 10
        time.sleep(0.1)
    assert refusal(guarded.get(f"/v1/jobs/{job}/result", headers=TOKEN), 404) == "not_found"


def test_the_end_does_not_wait_for_jobs(guarded) -> None:
    job = guarded.post("/v1/jobs?scale=8", content=as_file(LARGE), headers=TOKEN).json()["id"]
    with guarded.stream("GET", f"/v1/jobs/{job}/events", headers=TOKEN) as stream:
        lines = stream.iter_lines()
        next(lines)
        guarded.process.terminate()
        assert json.loads([line for line in lines if line][-1].removeprefix("data: "))["error"]["reason"] == "stopping"
    assert guarded.process.wait(timeout=30) == 143
