"""An export from beginning to end: weights, converter, parity, README, folder; `edgesr export` is this (ours)."""

from __future__ import annotations

import hashlib
import json
import logging
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from edgesr import __version__
from edgesr.errors import EdgesrError, UsageError
from edgesr.export import folder, parity, source
from edgesr.export.job import Format, Job, converter_error
from edgesr.export.quiet import quiet
from edgesr.export.readme import readme

FORMATS = {  # name: module, extra that brings its packages
    "onnx": ("onnx_files", "export"),
    "openvino": ("openvino", "export,openvino"),
    "litert": ("litert", "export,litert"),
    "coreml": ("coreml", "export,coreml"),
    "executorch": ("executorch", "export,executorch"),
    "ncnn": ("ncnn", "export,ncnn"),
}
TILE = (128, 128)  # LR px, the paper's


class Exported(NamedTuple):
    """What `export` made."""

    files: dict[str, int]  # name: bytes
    parity: parity.Parity | None  # None where no runtime is here
    summary: str  # the parity, or what was checked in its place


def load_format(name: str) -> Format:
    """Return the format called `name`; raises UsageError for an unknown one, ModuleNotFoundError where a package is missing."""
    if name not in FORMATS:
        raise UsageError(f"unknown format '{name}': choose one of {', '.join(FORMATS)}")
    with quiet():
        format: Format = import_module(f"edgesr.export.{FORMATS[name][0]}").FORMAT
    return format


def export(
    model: str,
    format: str,
    out: Path,
    *,
    precision: str = "fp32",
    size: tuple[int, int] | None = TILE,
    fidelity: float = 0.0,
    calibrate: Path | None = None,
    random: bool = False,
    overwrite: bool = False,
) -> Exported:
    """Write `model` (see `source.load`) as `format` into the folder `out`, after a check against torch on a real tile.

    `precision` is fp32, fp16 or int8, which needs photographs to calibrate by in the folder `calibrate`. `size` is (width, height)
    in LR px of the one tile that the file takes; None: any. Raises UsageError for what a format or a model has not, InputError
    for a folder that cannot be written, EdgesrError when the file does not follow torch; `out` is then as before.
    """
    kind = load_format(format)
    _check(kind, format, precision, size, calibrate)
    folder.check(out, overwrite=overwrite)
    found = source.load(model, fidelity=fidelity, random=random)
    preset = found.model.preset
    if size is None and preset.halo is None:
        raise UsageError(f"--size dynamic: the tiles of '{preset.name}' have one size, as its normalisation sees all of them")
    tile = size or TILE
    if any(side % preset.multiple for side in tile):
        raise UsageError(f"--size {tile[0]}x{tile[1]}: sides must be multiples of {preset.multiple}")
    lr, eps = parity.real_tile(preset, tile)
    photos = []
    if precision == "int8" and calibrate:
        from edgesr.export.quantize import photographs  # needs onnx, and int8 alone needs it

        photos = photographs(calibrate, preset, tile)
    job = Job(found.name, found.model.eval().requires_grad_(False), precision, size, found.metadata, lr, eps, photos)
    with folder.complete(out, overwrite=overwrite) as partial:
        compared, summary = _written(job, kind, format, partial)
        files = {str(path.relative_to(partial)): path.stat().st_size for path in sorted(partial.rglob("*")) if path.is_file()}
        (partial / "README.md").write_text(readme(job, kind, sorted({Path(name).parts[0] for name in files}), summary))
        (partial / folder.MARK).write_text(json.dumps(_record(job, format, partial, files, compared), indent=1) + "\n")
    return Exported(files, compared, summary)


def _check(kind: Format, format: str, precision: str, size: tuple[int, int] | None, calibrate: Path | None) -> None:
    if precision not in kind.precisions:
        raise UsageError(f"--precision {precision}: the format '{format}' is written in {', '.join(kind.precisions)}")
    if size is None and not kind.any_size:
        raise UsageError(f"--size dynamic: the format '{format}' takes tiles of one size; give one such as 128x128")
    if precision == "int8" and calibrate is None:
        raise UsageError("--precision int8 needs --calibrate DIR, a folder of photographs (none that you test with)")
    if precision != "int8" and calibrate is not None:
        raise UsageError("--calibrate belongs to --precision int8")


def _written(job: Job, kind: Format, format: str, partial: Path) -> tuple[parity.Parity | None, str]:
    """Write the files and check them; whatever a converter raises becomes one line."""
    try:
        with quiet():
            kind.write(job, partial)
            if kind.run is None:
                assert kind.inspect is not None
                return None, kind.inspect(job, partial)
            got = kind.run(job, partial)
    except (EdgesrError, OSError, MemoryError):
        raise
    except Exception as error:
        logging.getLogger("edgesr").debug("the converter of %s failed", format, exc_info=True)
        raise converter_error(format, error) from error
    compared = parity.compare(got, parity.reference(job.model, job.lr, job.eps))
    parity.check(compared, job.precision, f"{job.name} as {format}")
    return compared, str(compared)


def _record(job: Job, format: str, partial: Path, files: dict[str, int], compared: parity.Parity | None) -> dict[str, object]:
    return {
        "edgesr": __version__,
        "model": job.name,
        "format": format,
        "precision": job.precision,
        "size": job.size and "x".join(map(str, job.size)),
        "metadata": job.metadata,
        "parity": compared and {"max_difference": compared.difference, "psnr": min(compared.psnr, 999.0)},
        "sha256": {name: hashlib.sha256((partial / name).read_bytes()).hexdigest() for name in files},
    }
