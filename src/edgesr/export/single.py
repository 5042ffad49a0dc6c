"""Model files with one input, as other upscaling programs expect: no noise input, and any width and height.

The noise is replaced by its mean, 0, so that the start of the process is mu. The sides are padded to the preset's multiple by
repeating the last row and column, as in the upscaler, and the output is cropped.
"""

from __future__ import annotations

import math
from itertools import chain

import onnx
import onnx.compose
import onnx.parser
import torch
from torch import nn

from edgesr.errors import EdgesrError
from edgesr.export.graph import for_runtimes
from edgesr.export.parity import Array
from edgesr.model import EdgeSR
from edgesr.model.at_mean import AtMean
from edgesr.presets import SCALE

ONNX_NAMES = ("input", "output")
NCNN_NAMES = ("data", "output")  # of realesrgan-ncnn-vulkan, and the programs that run its files
NCNN_LAYERS = {  # those of realesrgan-ncnn-vulkan and Upscayl's engine, which crash at others, as far as chaiNNer reads them too
    *("BinaryOp", "Concat", "Convolution", "Crop", "Eltwise", "Flatten", "InnerProduct", "Input", "Interp", "PReLU"),
    *("PixelShuffle", "ReLU", "Split"),
}

_BEFORE = """
<ir_version: {ir}, opset_import: ["" : {opset}]>
before (float[batch, 3, height, width] input) => (float[batch, 3, rows, columns] lr, int64[2] sides)
<int64[2] none = {{0, 0}}, int64[6] begin = {{0, 0, 0, 0, 0, 0}}, int64[1] multiple = {{{multiple}}}, int64[1] scale = {{{scale}}}>
{{
    size = Shape <start = 2, end = 4> (input)
    rest = Sub (none, size)
    missing = Mod (rest, multiple)
    pads = Concat <axis = 0> (begin, missing)
    lr = Pad <mode = "edge"> (input, pads)
    sides = Mul (size, scale)
}}
"""
_AFTER = """
<ir_version: {ir}, opset_import: ["" : {opset}]>
after (float[batch, 3, rows, columns] hr, int64[2] sides) => (float[batch, 3, out_height, out_width] output)
<int64[2] none = {{0, 0}}, int64[2] axes = {{2, 3}}>
{{
    output = Slice (hr, none, sides, axes)
}}
"""


def single_onnx(data: bytes, model: EdgeSR) -> bytes:
    """Return the ONNX file `data`, of any size, with the one input `input` (B, 3, h, w) and the output `output` (B, 3, 4h, 4w)."""
    inner = onnx.load_model_from_string(data)
    values = {
        "ir": inner.ir_version,
        "opset": inner.opset_import[0].version,
        "multiple": model.preset.multiple,
        "scale": SCALE,
    }
    before, after = (onnx.parser.parse_model(text.format(**values)) for text in (_BEFORE, _AFTER))
    padded = onnx.compose.merge_models(
        onnx.compose.add_prefix(before, "before_", rename_inputs=False, rename_outputs=False),
        inner,
        [("lr", "lr")],
        outputs=["hr", "sides"],
    )
    whole = onnx.compose.merge_models(padded, onnx.compose.add_prefix(after, "after_", rename_inputs=False, rename_outputs=False),
                                      [("hr", "hr"), ("sides", "sides")])  # fmt: skip
    whole.graph.name = inner.graph.name
    del whole.metadata_props[:]
    whole.metadata_props.extend(inner.metadata_props)
    onnx.checker.check_model(whole, full_check=True)
    result: bytes = whole.SerializeToString()
    return result


@torch.no_grad()
def reference(model: EdgeSR, lr: Array) -> Array:
    """Return what a file with one input has to give for lr (B, 3, h, w) of any size: hr (B, 3, 4h, 4w)."""
    height, width = lr.shape[2:]
    multiple = model.preset.multiple
    padded = nn.functional.pad(torch.from_numpy(lr), (0, -width % multiple, 0, -height % multiple), mode="replicate")
    result: Array = AtMean(for_runtimes(model))(padded)[..., : SCALE * height, : SCALE * width].numpy()
    return result


def single_ncnn(param: str, weights: bytes, multiple: int) -> tuple[str, bytes]:
    """Return the .param and .bin file of a network with padding and cropping around it: `in0` and `out0`, whose sides are multiples of
    `multiple`, become `data` and `output` of any size.

    Only `NCNN_LAYERS` occur. ncnn has no arithmetic of sizes: a side that is padded by `multiple` - 1 and then reduced by nearest
    neighbour to 1 / `multiple` of its length, rounded down, has as many px as there are whole units in the wanted size; that, enlarged
    again, is what the padded picture is cropped to.
    """
    magic, _, given, *lines = param.splitlines()
    if given.split()[:2] != ["Input", "in0"] or not any("out0" in line.split() for line in lines):
        raise EdgesrError("ncnn: pnnx wrote a file of another structure; please report it")
    declared, zeros = _declared_channels("data_size", "size", lines)
    layers = [
        "Input data 0 1 data",
        "Split single_copies 1 2 data data_pad data_size",
        *_last_repeated("single_rows", "data_pad", "rows", axis=1, times=multiple - 1),
        *_last_repeated("single_columns", "rows", "padded", axis=2, times=multiple - 1),
        "Split single_padded 1 2 padded padded_count padded_crop",
        f"Interp single_units 1 1 padded_count counted 0=1 1={1 / multiple} 2={1 / multiple}",
        "BinaryOp single_mark 1 1 counted units 0=0 1=1 2=0.0",  # chaiNNer takes an Interp for a part of the scale unless this follows
        f"Interp single_whole 1 1 units whole 0=1 1={multiple}.0 2={multiple}.0",
        "Crop single_lr 2 1 padded_crop whole in0 0=0 1=0 2=0",
        *chain.from_iterable(map(_known, lines)),
        *declared,
        f"Interp single_hr 1 1 size size_hr 0=1 1={SCALE}.0 2={SCALE}.0",
        "Crop single_output 2 1 out0 size_hr output 0=0 1=0 2=0",
    ]
    if unknown := {layer.split()[0] for layer in layers} - NCNN_LAYERS:
        names = ", ".join(sorted(unknown))
        raise EdgesrError(f"--single-input: programs that take such files lack the layers {names} of this network")
    blobs = sum(int(layer.split()[3]) for layer in layers)
    return "\n".join([magic, f"{len(layers)} {blobs}", *layers]) + "\n", weights + zeros


def _declared_channels(source: str, result: str, lines: list[str]) -> tuple[list[str], bytes]:
    """Layers that give `source` as it is, and their weights, so that chaiNNer takes the network for one with 3 channels.

    It divides the outputs of the last convolution by the squares of all factors of PixelShuffle; if its result is not 3, it drops
    transparency. So the last convolution has as many outputs as that needs: of one px, and zeros, which are added to `source`.
    """
    factors = [int(line.split(" 0=")[1].split()[0]) for line in lines if line.startswith("PixelShuffle")]
    outputs = 3 * math.prod(factors) ** 2
    px = "0=0 1=0 2=0 3=1 4=1 5=3"
    layers = [
        f"Split single_sizes 1 2 {source} {source}_all {source}_cut",
        f"Crop single_px 1 1 {source}_cut px {px}",
        f"Convolution single_declared 1 1 px declared 0={outputs} 1=1 5=0 6={3 * outputs}",
        f"Crop single_zeros 1 1 declared zeros {px}",
        f"BinaryOp single_size 2 1 {source}_all zeros {result} 0=0",
    ]
    return layers, bytes(4 + 4 * 3 * outputs)  # after a mark of the type


def _last_repeated(name: str, source: str, result: str, *, axis: int, times: int) -> list[str]:
    """Layers that add the last row (axis 1) or column (2) of `source` `times` more; chaiNNer does not read the layer Padding."""
    copies = [f"{name}_{i}" for i in range(times)]
    return [
        f"Split {name}_split 1 2 {source} {name}_all {name}_cut",
        f"Crop {name}_last 1 1 {name}_cut {name}_end -23309=1,-1 -23310=1,-233 -23311=1,{axis}",
        f"Split {name}_copies 1 {times} {name}_end {' '.join(copies)}",
        f"Concat {name} {times + 1} 1 {name}_all {' '.join(copies)} {result} 0={axis}",
    ]


def _known(layer: str) -> list[str]:
    """`layer`, or what does the same with `NCNN_LAYERS` alone."""
    kind, name, *words = layer.split()
    if kind != "Clip":
        return [layer]
    _, _, source, result, lowest, highest = words
    least, most = lowest.removeprefix("0="), highest.removeprefix("1=")
    return [
        f"BinaryOp {name}_max 1 1 {source} {result}_max 0=4 1=1 2={least}",
        f"BinaryOp {name}_min 1 1 {result}_max {result} 0=5 1=1 2={most}",
    ]
