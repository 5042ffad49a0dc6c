"""Release a trained checkpoint's averaged weights: `python -m edgesr.export CHECKPOINT_DIR FILE.onnx` for the runtime.

With a folder in place of the file they are written as a checkpoint of their own, a quarter of the size, from which another
training can start (`init` in a recipe).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from edgesr.errors import EdgesrError
from edgesr.export.onnx import export_onnx
from edgesr.model import EdgeSR, build
from edgesr.presets import get_preset
from edgesr.train import checkpoint


def load_averaged(folder: Path) -> tuple[EdgeSR, dict[str, str]]:
    """Return the averaged network of a checkpoint folder, and what a released file says of it.

    Raises UsageError when the folder holds no checkpoint, or one that is damaged.
    """
    tensors, state = checkpoint.load(folder)
    model = build(get_preset(state["preset"]))
    checkpoint.load_into(model, tensors, "ema.edge.", folder)
    return model, {"preset": state["preset"], "stage": state["stage"], "steps": str(state["step"]), "licence": "Apache-2.0"}


def save_averaged(folder: Path, target: Path) -> None:
    """Write the averaged networks of a checkpoint, E_H included, as a checkpoint without optimizer. Raises as `load_averaged`."""
    tensors, state = checkpoint.load(folder)
    checkpoint.save(target, {name: tensor for name, tensor in tensors.items() if name.startswith("ema.")}, state)


def main() -> int:
    """Release one checkpoint; for ONNX print the parity with torch."""
    parser = argparse.ArgumentParser(prog="python -m edgesr.export", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="folder that `edgesr train` wrote, for example runs/tiny-1/checkpoint")
    parser.add_argument("file", type=Path, help="ONNX file, or folder, to write")
    arguments = parser.parse_args()
    try:
        if arguments.file.suffix != ".onnx":
            save_averaged(arguments.checkpoint, arguments.file)
            return 0
        model, metadata = load_averaged(arguments.checkpoint)
        difference = export_onnx(model, arguments.file, metadata)
    except EdgesrError as error:
        print(f"edgesr: {error}", file=sys.stderr)
        return 2
    print(
        f"{arguments.file}: {arguments.file.stat().st_size / 1e6:.1f} MB, differs from torch by at most {difference:.1e} of [0, 1]"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
