"""Release the averaged weights of a checkpoint.

    python tools/release.py CHECKPOINT FILE.onnx --version V                         for the runtime
    python tools/release.py CHECKPOINT FILE.npz --beside FILE.onnx --version V       as the fidelity form of a released file
    python tools/release.py CHECKPOINT FOLDER --version V                            as a checkpoint to train on from (`init`)

V is the model's name and a date, such as tiny-2026.11. An existing SHA256SUMS list next to the file is updated.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from torch import Tensor

from edgesr.errors import EdgesrError, UsageError
from edgesr.export.difference import write_difference
from edgesr.export.onnx import export_onnx
from edgesr.model import checkpoint
from edgesr.model.loading import RELEASE, load_averaged
from edgesr.upscaling import checksums


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


def described(folder: Path, target: Path, about: dict[str, str], mix: tuple[Path, float] | None = None) -> None:
    """Copy a checkpoint's averaged weights to `target`, with `about` in its state; with `mix`, interpolated with another's.

    This is network interpolation (arXiv 1809.00219): (1 - share) of one checkpoint's weights + share of the other's. Raises
    UsageError if the two are not checkpoints of the same network.
    """
    tensors, state = _averaged(folder)
    if mix:
        other, share = mix
        others, _ = _averaged(other)
        if any(name not in others or others[name].shape != tensor.shape for name, tensor in tensors.items()):
            raise UsageError(f"{other}: not the same network as {folder}: only checkpoints of one preset can be mixed")
        tensors = {name: tensor.float().lerp(others[name].float(), share) for name, tensor in tensors.items()}
        state = {key: value for key, value in state.items() if key not in RELEASE}
    _save(tensors, {**state, **about}, target)


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
        other, share = arguments.mix
        mixture = f"{1 - share:g} of {_run_name(arguments.checkpoint)} and {share:g} of {_run_name(other)}"
    return {"version": arguments.version, "mixture": mixture}


def _run_name(folder: Path) -> str:
    return folder.parent.name if folder.name == "checkpoint" else folder.name


def _share(text: str) -> tuple[Path, float]:
    """Parse FOLDER=SHARE; an argparse type."""
    folder, _, share = text.rpartition("=")
    try:
        if folder and 0 <= float(share) <= 1:
            return Path(folder), float(share)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"'{text}' is not FOLDER=SHARE with a share from 0 to 1, such as runs/b/checkpoint=0.5")


def main() -> int:
    """Release one checkpoint; for a file, print its size and its parity with torch."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "checkpoint", type=Path, help="folder that `edgesr train` wrote, for example runs/tiny/4-end-to-end/checkpoint"
    )
    parser.add_argument("file", type=Path, help="ONNX file, .npz file, or folder to write")
    parser.add_argument("--beside", type=Path, metavar="FILE.onnx", help="the default form, for an .npz file")
    parser.add_argument(
        "--version", metavar="V", help="version of the weights; required if there is a SHA256SUMS list beside the file"
    )
    parser.add_argument(
        "--mix",
        type=_share,
        metavar="FOLDER=SHARE",
        help="mix in this share of another checkpoint's weights",
    )
    parser.add_argument(
        "--mixture", metavar="TEXT", help="description of the mixture for the metadata (default: from --mix, or none)"
    )
    arguments = parser.parse_args()
    try:
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
    fidelity = arguments.file.with_name(f"{arguments.file.stem}-fidelity.npz")
    if arguments.file.suffix == ".onnx" and fidelity.is_file():
        print(f"{fidelity}: belongs to the previous file; release it again with --beside {arguments.file}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
