"""Assemble the report: the template, its style and script with their hashes in the policy, the data, the pictures."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import math
from collections.abc import Iterator
from html import escape
from importlib.resources import files
from string import Template

from edgesr.evaluate.report import tables
from edgesr.evaluate.report.pictures import QUALITY, SIDE, embed
from edgesr.evaluate.report.selection import choose, subject

GENERATOR = '<meta name="generator" content="edgesr evaluate">'  # identifies an older report
SCRIPTS = [f"{name}.js" for name in ["dom", "sort", "views", "state", "axes", "scatter", "boxes", "compare", "gallery", "main"]]
_PAGE = files("edgesr.evaluate.report") / "page"


def asset(name: str) -> str:
    """The text of a file of `page/`."""
    return (_PAGE / name).read_text(encoding="utf-8")


def render(result: dict, images: int) -> Iterator[str]:
    """The page in parts, for a file; at most `images` pictures of a suite are embedded, one after another.

    The pictures come last, each in a data block of its own: the page reads one only when it is shown.
    """
    head, tail = _document(result).split("<!--data-->")
    yield head
    numbers = itertools.count(1)
    pending: list[tuple[str, str]] = []

    def block(data: str) -> str:
        pending.append((f"picture-{next(numbers)}", data))
        return pending[-1][0]

    shown: dict[str, dict] = {}
    for suite, pictures in result["images"].items():
        systems = list(result["suites"][suite])
        chosen = choose(pictures, systems, result["metrics"], images)
        shown[suite] = {"subject": subject(systems), "pictures": {}}
        for name, reason in chosen.items():
            shown[suite]["pictures"][name] = {"reason": reason, **embed(pictures[name], block)}
            for identity, data in pending:
                yield f'<script type="text/plain" id="{identity}">{data}</script>\n'
            pending.clear()
    yield f'<script type="application/json" id="data">{_json(_data(result, shown))}</script>\n'
    yield tail


def _document(result: dict) -> str:
    """The page with a placeholder for the data."""
    style, script = asset("page.css"), "\n".join(asset(name) for name in SCRIPTS)
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; img-src data:; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'"
    )
    return Template(asset("page.html")).substitute(
        policy=policy,
        generator=GENERATOR,
        style=style,
        script=script,
        created=escape(tables.moment(result["created"])),
        command=escape(result["command"]),
        machine=escape(tables.machine(result["machine"])),
        contents=tables.contents(result),
        suites="".join(tables.suite(result, name) for name in result["suites"]),
        systems=tables.systems(result),
        published=tables.published(result),
        metrics=tables.metrics(result["metrics"]),
        about_pictures=escape(
            f"Pictures are embedded as JPEG (quality {QUALITY}, 4:4:4), inputs as PNG. All figures are computed from "
            f"the original files. Pictures larger than {SIDE} px are cropped to the window in which the systems differ most."
        ),
    )


def _data(result: dict, shown: dict) -> dict:
    """The data of the plots and the viewer, without paths of the machine."""

    def figures(picture: dict) -> dict:
        return {system: entry["metrics"] for system, entry in picture["systems"].items()}

    images = {suite: {name: figures(pictures[name]) for name in pictures} for suite, pictures in result["images"].items()}
    return {key: result[key] for key in ("metrics", "systems", "suites", "win_rates")} | {"images": images, "shown": shown}


def _json(data: dict) -> str:
    """JSON that is safe inside a script element; non-finite numbers become null."""
    text = json.dumps(_finite(data), ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _finite(data: object) -> object:
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
