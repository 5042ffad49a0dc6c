"""Release the averaged weights of a checkpoint.

    python tools/release.py CHECKPOINT FILE.onnx                         for the runtime
    python tools/release.py CHECKPOINT FILE.npz --beside FILE.onnx       as the fidelity form of a released file
    python tools/release.py CHECKPOINT FOLDER                            as a checkpoint to train on from (`init` in a recipe)

A SHA256SUMS list beside the file is renewed.
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
from edgesr.model.loading import load_averaged
from edgesr.upscaling import checksums


def save_averaged(folder: Path, target: Path) -> None:
    """Write the averaged networks of a checkpoint, E_H included, as a checkpoint without optimizer. Raises as `load_averaged`."""
    _save(*_shipped(folder), target)


def save_fidelity(folder: Path, beside: Path, target: Path) -> float:
    """Write a checkpoint's averaged network as the fidelity form of the ONNX file `beside`; see `write_difference`."""
    model, metadata = load_averaged(folder)
    with tempfile.TemporaryDirectory() as scratch:
        exported = Path(scratch) / "fidelity.onnx"
        export_onnx(model, exported, metadata)
        return write_difference(beside, exported, target)


def release(source: Path, target: Path, beside: Path | None) -> str | None:
    """Write what the suffix of `target` asks for; return a summary of its parity, None for a folder."""
    if (target.suffix == ".npz") != (beside is not None):
        raise UsageError("an .npz file and --beside FILE.onnx, the form that it belongs to, go together: give both, or neither")
    if beside is not None:
        if not beside.is_file():  # checked before the export, which takes a while
            raise UsageError(f"{beside}: no such file; export the default form first")
        difference = save_fidelity(source, beside, target)
        return f"at fidelity 1 {beside} differs from the checkpoint by at most {difference:.1e} of [0, 1]"
    if target.suffix != ".onnx":
        save_averaged(source, target)
        return None
    model, metadata = load_averaged(source)
    difference = export_onnx(model, target, metadata)
    return f"differs from torch by at most {difference:.1e} of [0, 1]"


def save_mixture(folder: Path, other: Path, share: float, target: Path) -> None:
    """Write (1 - share) of one checkpoint's averaged weights + share of another's as a checkpoint like `save_averaged`.

    Network interpolation (arXiv 1809.00219). Raises UsageError when the two are not checkpoints of one network.
    """
    (first, state), (second, _) = _shipped(folder), _shipped(other)
    if any(name not in second or second[name].shape != tensor.shape for name, tensor in first.items()):
        raise UsageError(f"{other}: holds another network than {folder}: only checkpoints of one preset can be mixed")
    _save({name: tensor.float().lerp(second[name].float(), share) for name, tensor in first.items()}, state, target)


def _shipped(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The averaged networks of a checkpoint without a teacher's, and its state."""
    tensors, state = checkpoint.load(folder)
    return {name: t for name, t in checkpoint.averaged(tensors).items() if not name.startswith("teacher.")}, state


def _save(averaged: dict[str, Tensor], state: dict[str, Any], target: Path) -> None:
    checkpoint.save(target, {f"ema.{name}": tensor for name, tensor in averaged.items()}, state)


def _mixture(text: str) -> tuple[Path, float]:
    """Parse FOLDER=SHARE; an argparse type."""
    folder, _, share = text.rpartition("=")
    try:
        if folder and 0 <= float(share) <= 1:
            return Path(folder), float(share)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"'{text}' is not FOLDER=SHARE with a share from 0 to 1, such as runs/b/checkpoint=0.5")


def main() -> int:
    """Release one checkpoint; for a file print its size and its parity with torch."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "checkpoint", type=Path, help="folder that `edgesr train` wrote, for example runs/tiny/4-end-to-end/checkpoint"
    )
    parser.add_argument("file", type=Path, help="ONNX file, .npz file, or folder to write")
    parser.add_argument("--beside", type=Path, metavar="FILE.onnx", help="the default form, for an .npz file")
    parser.add_argument(
        "--mix",
        type=_mixture,
        metavar="FOLDER=SHARE",
        help="take this share of another checkpoint's weights, the rest of the first's",
    )
    arguments = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as scratch:
            source = arguments.checkpoint
            if arguments.mix:
                source = Path(scratch) / "mixture"
                other, share = arguments.mix
                save_mixture(arguments.checkpoint, other, share, source)
            summary = release(source, arguments.file, arguments.beside)
            if arguments.file.is_file():
                checksums.renew(arguments.file)
    except EdgesrError as error:
        print(f"release: {error}", file=sys.stderr)
        return 2
    if summary:
        print(f"{arguments.file}: {arguments.file.stat().st_size / 1e6:.1f} MB, {summary}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
