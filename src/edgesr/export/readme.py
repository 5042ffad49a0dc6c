"""The README.md of an export: inputs, output, and example code."""

from __future__ import annotations

import re

from edgesr import __version__
from edgesr.export.job import Format, Job
from edgesr.presets import SCALE


def readme(job: Job, kind: Format, files: list[str], summary: str) -> str:
    """Return the text for the files of `job`; `summary` is the result of the parity check."""
    if job.single:
        return _single(job, kind, files, summary)
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
        else f"h and w are multiples of {job.model.preset.multiple}; in the example they are {height} and {width}.\n"
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

4x super-resolution of images. Written by `edgesr export` {__version__}: {", ".join(f"`{name}`" for name in files)}.
Compared with the torch network on a tile of a photograph: {summary}.

| | name | shape | type | values |
|---|---|---|---|---|
| input | `{lr}` | {shapes[0]} | float32 | the LR image, planes red, green, blue, in [0, 1] (sRGB values without normalisation) |
| input | `{eps}` | {shapes[1]} | float32 | Gaussian noise, mean 0, standard deviation 1 |
| output | `{hr}` | {shapes[2]} | float32 | the HR image, in [0, 1] |

{sides}{notes}Split larger images into overlapping tiles, and discard the border of each output tile: {_halo(job)}.
Generate the noise once for the whole image, and split it like the image.

```{kind.language}
{snippet.rstrip()}
```
"""


def _halo(job: Job) -> str:
    halo = job.model.preset.halo
    return "about 16 LR px" if halo is None else f"{halo} LR px for an exact result"


def _single(job: Job, kind: Format, files: list[str], summary: str) -> str:
    assert kind.single_names is not None
    source, sink = kind.single_names
    names, values = (
        ", ".join(f"`{name}`" for name in files),
        "float32 | RGB planes in [0, 1] (sRGB values without normalisation)",
    )
    return f"""\
# `{job.name}` as {kind.title}, {job.precision}, with one input

4x super-resolution of images. Written by `edgesr export --single-input` {__version__}: {names}.
Compared with the torch network on a part of a photograph: {summary}.

| | name | shape | type | values |
|---|---|---|---|---|
| input | `{source}` | 1 x 3 x h x w, any h and w | {values} |
| output | `{sink}` | 1 x 3 x {SCALE}h x {SCALE}w | {values} |

The noise of the diffusion is at its mean, so that equal inputs give equal outputs. Sides are padded to a multiple of
{job.model.preset.multiple} inside the network. Tiles overlap by {_halo(job)}; most programs use 10 to 32.
"""
