"""Quantise an ONNX file: weights in half precision, or weights and activations in 8 bits (QuantizeLinear, DequantizeLinear)."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image, UnidentifiedImageError
from torch.nn.functional import interpolate

from edgesr.data.degradation import degrade
from edgesr.errors import EdgesrError, UsageError, one_line
from edgesr.export.parity import Array
from edgesr.images.formats import is_picture_name
from edgesr.presets import LATENT_STRIDE, SCALE, Preset
from edgesr.pretrained.log_level import log_level
from edgesr.upscaling.noise import noise_field

PHOTOS = 24  # for calibration: with more, the ranges of activations hardly change
Tile = dict[str, Array]


def half_weights(data: bytes) -> bytes:
    """Return an ONNX file with the weights in half precision, each followed by a cast to single precision.

    Runtimes fold the casts at load time, so that the file is half the size and no slower; NPUs and GPUs, which compute in half
    precision, may remove them.
    """
    proto = onnx.load_model_from_string(data)
    casts = []
    for tensor in proto.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and np.prod(tensor.dims) > 1:
            half = numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), f"{tensor.name}.half")
            casts.append(helper.make_node("Cast", [half.name], [tensor.name], to=TensorProto.FLOAT))
            tensor.CopyFrom(half)
    nodes = [*casts, *proto.graph.node]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    onnx.checker.check_model(proto)
    result: bytes = proto.SerializeToString()
    return result


def photographs(
    folder: Path, preset: Preset, size: tuple[int, int], count: int = PHOTOS, *, look: str = "degraded"
) -> list[Tile]:
    """Return up to `count` tiles lr and eps of `size` (width, height) LR px, from centre crops of the photographs in `folder`.

    `look` is "degraded"; "reduced", whose edges are sharper, so that the ranges of activations are wider; or "saturated", of black,
    white and pure colours, whose edges are the hardest.
    Raises UsageError if none is large enough (four times the tile); unreadable files are skipped.
    """
    if not folder.is_dir():
        raise UsageError(f"--calibrate {folder}: no such folder; name a folder of photographs")
    files = sorted(path for path in folder.rglob("*") if is_picture_name(path))
    tiles: list[Tile] = []
    width, height = size
    for index, path in enumerate(_spread(files, 2 * count)):
        crop = _middle(path, SCALE * width, SCALE * height)
        if crop is None or len(tiles) == count:
            continue
        hr = torch.from_numpy(crop)[None]
        lr = _LOOKS[look](hr, index)
        rows, columns = range(index, index + height // LATENT_STRIDE), range(width // LATENT_STRIDE)
        tiles.append({"lr": lr.numpy(), "eps": noise_field(0, preset.latent_channels, rows, columns)[None]})
    if not tiles:
        raise UsageError(f"--calibrate {folder}: contains no photograph of {SCALE * width}x{SCALE * height} px or more")
    return tiles


def _spread(files: list[Path], count: int) -> list[Path]:
    """`count` files at regular intervals of the list."""
    return [files[i] for i in np.unique(np.linspace(0, len(files) - 1, min(count, len(files))).astype(int))] if files else []


def _degraded(hr: torch.Tensor, seed: int) -> torch.Tensor:
    return degrade(hr, scale=SCALE, generator=torch.Generator().manual_seed(seed))


def _reduced(hr: torch.Tensor, _seed: int) -> torch.Tensor:
    return interpolate(hr, scale_factor=1 / SCALE, mode="bicubic", antialias=True).clamp(0, 1)


def _saturated(hr: torch.Tensor, seed: int) -> torch.Tensor:
    return _reduced((hr > hr.mean()).float(), seed)


_LOOKS = {"degraded": _degraded, "reduced": _reduced, "saturated": _saturated}


def _middle(path: Path, width: int, height: int) -> Array | None:
    """(3, height, width) in [0, 1] from the centre of an image; None if it is smaller or unreadable."""
    try:
        with Image.open(path) as picture:
            if picture.width < width or picture.height < height:
                return None
            left, top = (picture.width - width) // 2, (picture.height - height) // 2
            crop = picture.convert("RGB").crop((left, top, left + width, top + height))
    except (OSError, UnidentifiedImageError, ValueError):
        return None
    return np.ascontiguousarray(np.asarray(crop, np.float32).transpose(2, 0, 1) / 255)


class _Reader:
    """The reader of tiles that onnxruntime's calibration needs."""

    def __init__(self, tiles: Iterable[Tile]) -> None:
        self._tiles: Iterator[Tile] = iter(tiles)

    def get_next(self) -> Tile | None:
        return next(self._tiles, None)


def _smoothing(proto: onnx.ModelProto) -> list[str]:
    """The nodes of the decoder's `Smoothing`, up to bicubic: shares times blurs carry the whole picture, and 8 bits would show."""
    found: list[str] = []
    outputs: set[str] = set()
    for node in proto.graph.node:  # in topological order
        own = any(name.startswith("decoder.smoothing.") for name in node.input)
        if own or (node.op_type in ("Add", "Mul", "Sub") and outputs.intersection(node.input)):
            found.append(node.name)
            outputs.update(node.output)
    return found


def quantized(
    data: bytes,
    tiles: list[Tile],
    *,
    keep_float: tuple[str, ...] = (),
    operators: tuple[str, ...] | None = None,
    activations: str = "QUInt8",
) -> bytes:
    """Return an ONNX file with 8-bit weights, one scale per output channel, and `activations` calibrated on `tiles`.

    `operators` None quantises all of them but the smoothing of the LR, and except for the nodes called `keep_float`.
    """
    from onnxruntime import quantization as q  # slow to import
    from onnxruntime.quantization.shape_inference import quant_pre_process

    # onnxruntime's quantisation logs to the root logger.
    with log_level(None, logging.ERROR), tempfile.TemporaryDirectory() as scratch:
        plain, prepared, target = (Path(scratch) / f"{name}.onnx" for name in ("plain", "prepared", "int8"))
        plain.write_bytes(data)
        if operators is None:
            keep_float = (*keep_float, *_smoothing(onnx.load_model_from_string(data)))
        try:
            quant_pre_process(plain, prepared, skip_symbolic_shape=True)
            options: dict[str, Any] = {"ActivationSymmetric": False, "WeightSymmetric": True}
            q.quantize_static(
                prepared, target, _Reader(tiles), quant_format=q.QuantFormat.QDQ, per_channel=True,
                activation_type=q.QuantType[activations], weight_type=q.QuantType.QInt8,
                op_types_to_quantize=operators and list(operators), nodes_to_exclude=list(keep_float), extra_options=options,
            )  # fmt: skip
        except Exception as error:  # onnxruntime's exceptions share no base class but this one
            raise EdgesrError(f"onnxruntime cannot quantise this model ({one_line(error)})") from None
        return target.read_bytes()
