"""The format `litert`: a .tflite file for Android and other devices, by litert-torch; run back by ai-edge-litert."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ai_edge_litert.interpreter
import litert_torch
import torch

from edgesr.export.graph import for_runtimes
from edgesr.export.job import Format, Job
from edgesr.export.parity import Array

INPUTS, OUTPUT = ("args_0", "args_1"), "output_0"

SNIPPET = """\
import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.CompiledModel

val model = CompiledModel.create(context.assets, "FILE", CompiledModel.Options(Accelerator.GPU, Accelerator.CPU))
val inputs = model.createInputBuffers()
val outputs = model.createOutputBuffers()
val random = java.util.Random(0)
inputs[0].writeFloat(lr)  // FloatArray(3 * HEIGHT * WIDTH): red plane, green plane, blue plane, in [0, 1]
inputs[1].writeFloat(FloatArray(CHANNELS * ROWS * COLUMNS) { random.nextGaussian().toFloat() })
model.run(inputs, outputs)
val hr = outputs[0].readFloat()  // 3 planes of (4 * HEIGHT) x (4 * WIDTH), in [0, 1]
"""


def write(job: Job, folder: Path) -> None:
    """Write NAME.tflite."""
    path = folder / f"{job.name}.tflite"
    graph = for_runtimes(job.model)
    litert_torch.convert(graph, (torch.from_numpy(job.lr), torch.from_numpy(job.eps))).export(str(path))
    if job.precision != "fp32":
        _quantize(job, path)


def _quantize(job: Job, path: Path) -> None:
    from ai_edge_quantizer import quantizer, recipe  # slow to import

    float_ends: list[dict[str, Any]] = [
        {"regex": ".*", "operation": end, "algorithm_key": "no_quantize", "op_config": {}} for end in ("INPUT", "OUTPUT")
    ]
    chosen: Any = _HALF if job.precision == "fp16" else [*recipe.static_wi8_ai8(), *float_ends]
    worker = quantizer.Quantizer(str(path), chosen)
    samples = [dict(zip(INPUTS, (tile["lr"], tile["eps"]), strict=True)) for tile in job.calibration]
    ranges = worker.calibrate({"serving_default": samples}) if job.precision == "int8" else None
    data = worker.quantize(ranges).quantized_model
    path.write_bytes(data)


_HALF = [
    {
        "regex": ".*",
        "operation": "*",
        "algorithm_key": "float_casting",
        "op_config": {
            "weight_tensor_config": {"num_bits": 16, "dtype": "FLOAT", "granularity": "TENSORWISE", "symmetric": True},
            "compute_precision": "FLOAT",
            "explicit_dequantize": True,
            "skip_checks": False,
        },
    }
]


def run(job: Job, folder: Path) -> Array:
    """Run it by the interpreter on the CPU (XNNPACK)."""
    interpreter = ai_edge_litert.interpreter.Interpreter(str(folder / f"{job.name}.tflite"), num_threads=2)
    runner = interpreter.get_signature_runner()
    hr: Array = runner(**dict(zip(INPUTS, (job.lr, job.eps), strict=True)))[OUTPUT]
    return hr


FORMAT = Format(
    title="LiteRT (TensorFlow Lite)",
    extra="litert",
    precisions=("fp32", "fp16", "int8"),
    any_size=False,
    write=write,
    run=run,
    inspect=None,
    names=(*INPUTS, OUTPUT),
    notes="Names are those of the signature `serving_default`. In fp16 and int8 inputs and output stay float32.",
    language="kotlin",
    single_names=None,
    snippet=SNIPPET,
)
