"""Release the averaged weights of a checkpoint.

    python tools/release.py CHECKPOINT FILE.onnx --version V                         for the runtime
    python tools/release.py CHECKPOINT FILE.npz --beside FILE.onnx --version V       as the fidelity form of a released file
    python tools/release.py CHECKPOINT FOLDER --version V                            as a checkpoint to train on from (`init`)
    python tools/release.py FILE.onnx FILE-int8.onnx --calibrate PHOTOS              in 8 bits, with the fidelity form if there is one

PHOTOS is a folder of training photographs. The 8-bit files are made from FILE.onnx, and must be made again when it changes.
V is the model's name and a date, such as tiny-2026.11. An existing SHA256SUMS list next to the file is updated.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from torch import Tensor

from edgesr import onnx_metadata
from edgesr.atomic import write_whole
from edgesr.errors import EdgesrError, UsageError
from edgesr.export import int8, quantize
from edgesr.export.difference import write_difference
from edgesr.export.onnx import export_onnx
from edgesr.model import checkpoint
from edgesr.model.decoder import at_rest
from edgesr.model.loading import RELEASE, load_averaged
from edgesr.presets import get_preset
from edgesr.upscaling import checksums, forms

TILE = (128, 128)  # LR px, of the photographs for 8 bits
PHOTOS, SATURATED = 32, 4


def release(source: Path, target: Path, beside: Path | None) -> str | None:
    """Write the kind of file given by the suffix of `target`; return a summary of its parity, None for a folder."""
    if beside is not None:
        difference = save_fidelity(source, beside, target)
        return f"at fidelity 1 {beside} differs from the checkpoint by at most {difference:.1e} of [0, 1]"
    if target.suffix != ".onnx":
        save_averaged(source, target)
        return None
    model, metadata = load_averaged(source)
    difference = export_onnx(model, target, metadata)
    return f"differs from torch by at most {difference:.1e} of [0, 1]"


def release_int8(source: Path, target: Path, photos: Path) -> list[tuple[Path, list[float]]]:
    """Write the released ONNX file `source`, and its fidelity form if it has one, in 8 bits; return each file with its PSNR.

    Ranges are calibrated on three quarters of up to 32 photographs, degraded and only reduced, and a few
    of pure colours; the PSNR in dB against float32 is of
    the others. Raises EdgesrError, and writes nothing, if it is too low.
    """
    preset = get_preset(onnx_metadata.read(source.read_bytes()).get("preset", ""))
    both = [quantize.photographs(photos, preset, TILE, PHOTOS, look=look) for look in ("degraded", "reduced")]
    tiles = [tile for pair in zip(*both, strict=True) for tile in pair]
    calibration, held_out = ([tile for index, tile in enumerate(tiles) if (index % 8 > 5) == out] for out in (False, True))
    saturated = quantize.photographs(photos, preset, TILE, SATURATED, look="saturated")
    calibration = [*saturated[:2], *calibration, *saturated[2:]]
    forms_of = {target: source.read_bytes()}
    difference = source.with_name(f"{source.stem}-fidelity.npz")
    if difference.is_file():
        forms_of[target.with_name(f"{source.stem}-fidelity-int8.onnx")] = forms.interpolate(source, difference, 1.0)
    made = {}
    for path, full in forms_of.items():
        digest = hashlib.sha256(full).hexdigest()
        data = int8.int8_for_cpus(full, calibration, {"float32_sha256": digest})
        psnr = int8.psnr_in_float(data, full, held_out)
        int8.check(psnr, str(path))
        made[path] = (data, psnr)
    for path, (data, _) in made.items():
        write_whole(path, data)
        checksums.renew(path)
    return [(path, psnr) for path, (_, psnr) in made.items()]


def save_averaged(folder: Path, target: Path) -> None:
    """Write the averaged networks of a checkpoint, including E_H, as a checkpoint without optimizer. Raises as `load_averaged`."""
    _save(*_averaged(folder), target)


def save_fidelity(folder: Path, beside: Path, target: Path) -> float:
    """Write a checkpoint's averaged network as the fidelity form of the ONNX file `beside`; see `write_difference`."""
    model, metadata = load_averaged(folder)
    with tempfile.TemporaryDirectory() as scratch:
        exported = Path(scratch) / "fidelity.onnx"
        export_onnx(model, exported, metadata)
        return write_difference(beside, exported, target, metadata)


def described(folder: Path, target: Path, about: dict[str, str], mix: Sequence[tuple[Path, float]] = ()) -> None:
    """Copy a checkpoint's averaged weights to `target`, with `about` in its state; with `mix`, interpolated with others'.

    This is network interpolation (arXiv 1809.00219): each other checkpoint's weights have their share, and this one's the rest. A pair
    of shares that cancel out adds what one training changed to the weights of another (task arithmetic, arXiv 2212.04089).
    Raises UsageError if they are not checkpoints of the same network; one without the smoothing of the LR counts as one that does none.
    """
    tensors, state = _averaged(folder)
    if mix:
        tensors = {name: _rest(mix) * tensor.float() for name, tensor in tensors.items()}
        for other, share in mix:
            others = at_rest(tensors) | _averaged(other)[0]
            if any(name not in others or others[name].shape != tensor.shape for name, tensor in tensors.items()):
                raise UsageError(f"{other}: not the same network as {folder}: only checkpoints of one preset can be mixed")
            tensors = {name: tensor + share * others[name].float() for name, tensor in tensors.items()}
        state = {key: value for key, value in state.items() if key not in RELEASE}
    _save(tensors, {**state, **about}, target)


def _rest(mix: Sequence[tuple[Path, float]]) -> float:
    return round(1 - sum(share for _, share in mix), 9)


def _averaged(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The averaged networks of a checkpoint without the teacher, and its state."""
    tensors, state = checkpoint.load(folder)
    return {name: t for name, t in checkpoint.averaged(tensors).items() if not name.startswith("teacher.")}, state


def _save(averaged: dict[str, Tensor], state: dict[str, Any], target: Path) -> None:
    checkpoint.save(target, {f"ema.{name}": tensor for name, tensor in averaged.items()}, state)


def _check(target: Path, beside: Path | None) -> None:
    if (target.suffix == ".npz") != (beside is not None):
        raise UsageError("an .npz file needs --beside FILE.onnx, the default form, and no other file takes it")
    if beside is not None and not beside.is_file():
        raise UsageError(f"{beside}: no such file; export the default form first")


def _about(arguments: argparse.Namespace) -> dict[str, str]:
    """The description of the weights from the command line, for a file's metadata or a checkpoint's state."""
    state = checkpoint.load_state(arguments.checkpoint)
    preset, has_version = state.get("preset"), "version" in state and not arguments.mix
    if arguments.version is None:
        if (arguments.file.parent / checksums.LIST).is_file() and not has_version:
            raise UsageError(f"{arguments.file}: a released file needs --version, such as {preset}-2026.11")
        return {}
    if not arguments.version.startswith(f"{preset}-"):
        raise UsageError(f"--version {arguments.version}: begin with the model's name, as in {preset}-2026.11")
    mixture = arguments.mixture or "none"
    if arguments.mix and not arguments.mixture:
        shares = [(arguments.checkpoint, _rest(arguments.mix)), *arguments.mix]
        mixture = " and ".join(f"{share:g} of {_run_name(folder)}" for folder, share in shares)
    return {"version": arguments.version, "mixture": mixture}


def _run_name(folder: Path) -> str:
    return folder.parent.name if folder.name == "checkpoint" else folder.name


def _share(text: str) -> tuple[Path, float]:
    """Parse FOLDER=SHARE; an argparse type."""
    folder, _, share = text.rpartition("=")
    try:
        if folder and -1 <= float(share) <= 1:
            return Path(folder), float(share)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"'{text}' is not FOLDER=SHARE with a share from -1 to 1, such as runs/b/checkpoint=0.5")


def main() -> int:
    """Release one checkpoint; for a file, print its size and its parity with torch."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "checkpoint",
        type=Path,
        help="folder that `edgesr train` wrote, for example runs/tiny/4-end-to-end/checkpoint; with --calibrate: the released ONNX file",
    )
    parser.add_argument("file", type=Path, help="ONNX file, .npz file, or folder to write")
    parser.add_argument("--beside", type=Path, metavar="FILE.onnx", help="the default form, for an .npz file")
    parser.add_argument(
        "--version", metavar="V", help="version of the weights; required if there is a SHA256SUMS list beside the file"
    )
    parser.add_argument(
        "--mix",
        type=_share,
        action="append",
        default=[],
        metavar="FOLDER=SHARE",
        help="mix in this share of another checkpoint's weights; may be repeated, the rest is of CHECKPOINT",
    )
    parser.add_argument(
        "--mixture", metavar="TEXT", help="description of the mixture for the metadata (default: from --mix, or none)"
    )
    parser.add_argument("--calibrate", type=Path, metavar="PHOTOS", help="folder of training photographs, for 8 bits")
    arguments = parser.parse_args()
    if arguments.calibrate:
        return _main_int8(arguments)
    try:
        if _rest(arguments.mix) < 0:
            raise UsageError("--mix: the shares sum to more than 1")
        _check(arguments.file, arguments.beside)
        with tempfile.TemporaryDirectory() as scratch:
            source = Path(scratch) / "checkpoint"
            described(arguments.checkpoint, source, _about(arguments), arguments.mix)
            summary = release(source, arguments.file, arguments.beside)
            if arguments.file.is_file():
                checksums.renew(arguments.file)
    except EdgesrError as error:
        print(f"release: {error}", file=sys.stderr)
        return 2
    if summary:
        print(f"{arguments.file}: {arguments.file.stat().st_size / 1e6:.1f} MB, {summary}")
    _name_outdated(arguments.file)
    return 0


def _main_int8(arguments: argparse.Namespace) -> int:
    """Make the 8-bit files; print the size and PSNR of each."""
    try:
        if not arguments.checkpoint.is_file():
            raise UsageError(f"{arguments.checkpoint}: with --calibrate, name a released ONNX file")
        made = release_int8(arguments.checkpoint, arguments.file, arguments.calibrate)
    except (EdgesrError, ValueError) as error:
        print(f"release: {error}", file=sys.stderr)
        return 2
    for path, psnr in made:
        print(
            f"{path}: {path.stat().st_size / 1e6:.1f} MB, against float32 on {len(psnr)} photographs that were not calibrated on "
            f"{mean(psnr):.1f} dB, worst {min(psnr):.1f} dB"
        )
    return 0


def _name_outdated(file: Path) -> None:
    """Name the files beside a new ONNX file that were made from the previous one."""
    if file.suffix != ".onnx":
        return
    fidelity, small = file.with_name(f"{file.stem}-fidelity.npz"), file.with_name(f"{file.stem}-int8.onnx")
    if fidelity.is_file():
        print(f"{fidelity}: belongs to the previous file; release it again with --beside {file}", file=sys.stderr)
    if small.is_file():
        print(f"{small}: belongs to the previous file; then make it again with --calibrate PHOTOS", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
