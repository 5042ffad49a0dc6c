"""A complete export: load the weights, convert, compare with torch, write README and folder. `edgesr export` calls this."""

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
from edgesr.export import single as single_input
from edgesr.export.job import Format, Job, converter_error
from edgesr.export.quiet import quiet
from edgesr.export.readme import readme

FORMATS = {  # name: module, extra that installs its packages
    "onnx": ("onnx_files", "export"),
    "openvino": ("openvino", "export,openvino"),
    "litert": ("litert", "export,litert"),
    "coreml": ("coreml", "export,coreml"),
    "executorch": ("executorch", "export,executorch"),
    "ncnn": ("ncnn", "export,ncnn"),
}
TILE = (128, 128)  # LR px, the paper's


class Exported(NamedTuple):
    """The result of `export`."""

    files: dict[str, int]  # name: bytes
    parity: parity.Parity | None  # None: there is no runtime on this system
    summary: str  # the parity, or what was checked instead


def load_format(name: str) -> Format:
    """Return the format called `name`; raises UsageError if it is unknown, ModuleNotFoundError if a package is missing."""
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
    single: bool = False,
    overwrite: bool = False,
) -> Exported:
    """Write `model` (see `source.load`) as `format` to the folder `out`, if it agrees with torch on a real tile.

    `precision` is fp32, fp16 or int8, which needs a folder of photographs, `calibrate`. `size` is the tile size (width, height) in
    LR px; None: any size. `single`: one input of any size, without noise, for programs that run other upscalers. Raises UsageError
    for options that the format or the model does not support, InputError for a folder that cannot be written, EdgesrError if the
    file differs too much from torch; `out` is then unchanged.
    """
    kind = load_format(format)
    if single:
        _check_single(kind, format, precision)
        size = None
    elif size is None and not kind.any_size:
        raise UsageError(f"--size dynamic: the format '{format}' needs a fixed tile size, such as 128x128")
    _check(kind, format, precision, calibrate)
    folder.check(out, overwrite=overwrite)
    found = source.load(model, fidelity=fidelity, random=random)
    preset = found.model.preset
    if size is None and preset.halo is None:
        option = "--single-input" if single else "--size dynamic"
        raise UsageError(f"{option}: '{preset.name}' needs a fixed tile size, as GroupNorm depends on the whole tile")
    tile = size or TILE
    if any(side % preset.multiple for side in tile):
        raise UsageError(f"--size {tile[0]}x{tile[1]}: sides must be multiples of {preset.multiple}")
    lr, eps = parity.real_tile(preset, tile)
    photos = []
    if precision == "int8" and calibrate:
        from edgesr.export.quantize import photographs  # needs onnx, only for int8

        photos = photographs(calibrate, preset, tile)
    job = Job(found.name, found.model.eval().requires_grad_(False), precision, size, found.metadata, lr, eps, photos, single)
    with folder.complete(out, overwrite=overwrite) as partial:
        compared, summary = _written(job, kind, format, partial)
        files = {str(path.relative_to(partial)): path.stat().st_size for path in sorted(partial.rglob("*")) if path.is_file()}
        (partial / "README.md").write_text(readme(job, kind, sorted({Path(name).parts[0] for name in files}), summary))
        (partial / folder.MARK).write_text(json.dumps(_record(job, format, partial, files, compared), indent=1) + "\n")
    return Exported(files, compared, summary)


def _check_single(kind: Format, format: str, precision: str) -> None:
    if kind.single_names is None:
        raise UsageError(f"--single-input: the format '{format}' does not support it; choose onnx or ncnn")
    if precision == "int8":
        raise UsageError("--single-input: choose --precision fp32 or fp16")


def _check(kind: Format, format: str, precision: str, calibrate: Path | None) -> None:
    if precision not in kind.precisions:
        raise UsageError(f"--precision {precision}: the format '{format}' supports {', '.join(kind.precisions)}")
    if precision == "int8" and calibrate is None:
        raise UsageError("--precision int8 needs --calibrate DIR, a folder of photographs (not your test images)")
    if precision != "int8" and calibrate is not None:
        raise UsageError("--calibrate needs --precision int8")


def _written(job: Job, kind: Format, format: str, partial: Path) -> tuple[parity.Parity | None, str]:
    """Write the files and check them; errors of the converter become one line."""
    try:
        with quiet():
            kind.write(job, partial)
            if kind.run is None:
                assert kind.inspect is not None
                return None, kind.inspect(job, partial)
            if job.single:
                job = job._replace(lr=job.lr[:, :, :-3, :-1])  # sides that have to be padded
            got = kind.run(job, partial)
    except (EdgesrError, OSError, MemoryError):
        raise
    except Exception as error:
        logging.getLogger("edgesr").debug("the converter of %s failed", format, exc_info=True)
        raise converter_error(format, error) from error
    wanted = single_input.reference(job.model, job.lr) if job.single else parity.reference(job.model, job.lr, job.eps)
    compared = parity.compare(got, wanted)
    parity.check(compared, job.precision, f"{job.name} as {format}")
    return compared, str(compared)


def _record(job: Job, format: str, partial: Path, files: dict[str, int], compared: parity.Parity | None) -> dict[str, object]:
    return {
        "edgesr": __version__,
        "model": job.name,
        "format": format,
        "precision": job.precision,
        "single_input": job.single,
        "size": job.size and "x".join(map(str, job.size)),
        "metadata": job.metadata,
        "parity": compared and {"max_difference": compared.difference, "psnr": min(compared.psnr, 999.0)},
        "sha256": {name: hashlib.sha256((partial / name).read_bytes()).hexdigest() for name in files},
    }
