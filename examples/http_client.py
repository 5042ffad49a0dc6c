"""Upscale a picture by a server of `edgesr serve`, with the standard library alone: `python http_client.py IN OUT`."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen


def upscale(data: bytes, *, server: str = "http://127.0.0.1:7860", token: str | None = None, **options: object) -> bytes:
    """Return the upscaled file. `options` as in the API: scale, width, height, fidelity, format, quality, strip_metadata, sharpness.

    Waits while the server's queue is full. Raises HTTPError, whose body is JSON with reason and detail.
    """
    headers = {"Content-Type": "application/octet-stream"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    request = Request(f"{server}/v1/upscale?{urlencode(options)}", data, headers)
    while True:
        try:
            with urlopen(request, timeout=180) as answer:
                for note in json.loads(answer.headers["X-Notes"]):
                    print(note, file=sys.stderr)  # what the format could not keep
                return answer.read()
        except HTTPError as error:  # noqa: PERF203 -- each try is a request
            if error.code != 429:
                raise
            time.sleep(int(error.headers["Retry-After"]))


def upscale_as_job(data: bytes, *, server: str = "http://127.0.0.1:7860", token: str | None = None, **options: object) -> bytes:
    """The same as a job, for pictures that take longer than a connection should last; prints how far it is.

    Raises HTTPError also for the reason why a job failed.
    """
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    typed = {**headers, "Content-Type": "application/octet-stream"}
    with urlopen(Request(f"{server}/v1/jobs?{urlencode(options)}", data, typed), timeout=180) as answer:
        place = server + answer.headers["Location"]
    try:
        with urlopen(Request(f"{place}/events", headers=headers), timeout=60) as events:  # they end with the job
            for line in events:
                if line.startswith(b"data: "):
                    status = json.loads(line[6:])
                    print(f"{status['progress']:4.0%}, {status['seconds_left'] or '?'} s left", file=sys.stderr)
        with urlopen(Request(f"{place}/result", headers=headers), timeout=180) as answer:
            return answer.read()
    finally:
        urlopen(Request(place, headers=headers, method="DELETE"), timeout=60).close()


def main() -> None:
    """Upscale one file into another, whose extension decides the format."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--server", default="http://127.0.0.1:7860")
    parser.add_argument("--scale", type=float, default=4)
    parser.add_argument("--job", action="store_true", help="as a job, with its progress")
    words = parser.parse_args()
    format = words.target.suffix.removeprefix(".").lower().replace("jpg", "jpeg")
    token = os.environ.get("EDGESR_TOKEN")
    try:
        send = upscale_as_job if words.job else upscale
        result = send(words.source.read_bytes(), server=words.server, token=token, scale=words.scale, format=format)
        with words.target.open("xb") as file:  # never overwrites
            file.write(result)
    except HTTPError as error:
        sys.exit(f"{words.source}: {json.load(error)['detail']}")
    except (URLError, OSError) as error:
        sys.exit(f"{words.source}: {error}")


if __name__ == "__main__":
    main()
