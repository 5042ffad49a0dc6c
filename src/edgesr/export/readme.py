"""The README.md of an export: what goes in and out, and how to run it where it is meant for (ours)."""

from __future__ import annotations

import re

from edgesr import __version__
from edgesr.export.job import Format, Job
from edgesr.presets import SCALE


def readme(job: Job, kind: Format, files: list[str], summary: str) -> str:
    """Return the text for the files of `job`; `summary` is the outcome of the parity check."""
    (_, _, height, width), (_, channels, rows, columns) = job.lr.shape, job.eps.shape
    lr, eps, hr = kind.names
    if job.size:
        shapes = (
            f"1 x 3 x {height} x {width}",
            f"1 x {channels} x {rows} x {columns}",
            f"1 x 3 x {SCALE * height} x {SCALE * width}",
        )
    else:
        shapes = ("B x 3 x h x w", f"B x {channels} x h/2 x w/2", f"B x 3 x {SCALE}h x {SCALE}w")
    sides = (
        ""
        if job.size
        else f"Sides h and w are multiples of {job.model.preset.multiple}, in the example {height} and {width}.\n"
    )
    notes = f"{kind.notes}\n" if kind.notes else ""
    sizes = {"HEIGHT": height, "WIDTH": width, "CHANNELS": channels, "ROWS": rows, "COLUMNS": columns}
    binary = next((name for name in files if name.endswith(".bin")), "")
    main = next(name for name in files if name != binary)
    snippet = kind.snippet.replace("FILE", main).replace("BIN", binary)
    for name, value in sizes.items():
        snippet = re.sub(rf"\b{name}\b", str(value), snippet)
        snippet = snippet.replace(f"4 * {value}", str(SCALE * value)) if name in ("HEIGHT", "WIDTH") else snippet
    snippet = re.sub(r"\((\d+)\)(?= x|x|,)", r"\1", snippet)
    return f"""\
# `{job.name}` as {kind.title}, {job.precision}

Makes a picture four times as large. Written by `edgesr export` {__version__}: {", ".join(f"`{name}`" for name in files)}.
Against the torch network on a photograph's tile: {summary}.

| | name | shape | type | values |
|---|---|---|---|---|
| input | `{lr}` | {shapes[0]} | float32 | the small picture, planes red, green, blue, in [0, 1] (sRGB as stored, no mean or deviation) |
| input | `{eps}` | {shapes[1]} | float32 | normal noise, mean 0, deviation 1 |
| output | `{hr}` | {shapes[2]} | float32 | the large picture, in [0, 1] |

{sides}{notes}Pictures larger than a tile are cut into tiles that overlap; what a tile gives near its border, {_halo(job)}, is better taken
from its neighbour. The noise belongs to the picture: use one field for all of it and cut it as the picture is cut.

```{kind.language}
{snippet.rstrip()}
```
"""


def _halo(job: Job) -> str:
    halo = job.model.preset.halo
    return "16 LR px" if halo is None else f"up to {halo} LR px where it must be exact"
