"""The format `onnx`, for onnxruntime, onnxruntime-web and compilers that read ONNX (Qualcomm AI Hub)."""

from __future__ import annotations

from pathlib import Path

import onnxruntime

from edgesr.export import single
from edgesr.export.job import Format, Job
from edgesr.export.onnx import to_onnx
from edgesr.export.parity import Array
from edgesr.export.quantize import half_weights, quantized
from edgesr.upscaling.engines import load_engine

SNIPPET = """\
import * as ort from "onnxruntime-web";
const session = await ort.InferenceSession.create("FILE", { executionProviders: ["webgpu", "wasm"] });
const normal = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
const lr = new Float32Array(3 * HEIGHT * WIDTH);                         // to fill: planes red, green, blue, in [0, 1]
const eps = Float32Array.from({ length: CHANNELS * ROWS * COLUMNS }, normal);
const { hr } = await session.run({
  lr: new ort.Tensor("float32", lr, [1, 3, HEIGHT, WIDTH]),
  eps: new ort.Tensor("float32", eps, [1, CHANNELS, ROWS, COLUMNS]),
});
console.log(hr.dims, hr.data);                                       // [1, 3, 4 * HEIGHT, 4 * WIDTH], in [0, 1]
"""


def graph(job: Job) -> bytes:
    """Return the ONNX file of a job, in its precision."""
    data = to_onnx(job.model, job.size, job.metadata, single=job.single)
    if job.single:
        data = single.single_onnx(data, job.model)
    if job.precision == "fp16":
        return half_weights(data)
    return quantized(data, job.calibration) if job.precision == "int8" else data


def write(job: Job, folder: Path) -> None:
    """Write STEM.onnx."""
    (folder / f"{job.stem}.onnx").write_bytes(graph(job))


def run(job: Job, folder: Path) -> Array:
    """Run it by onnxruntime on the CPU."""
    path = folder / f"{job.stem}.onnx"
    if job.single:
        result: Array = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"input": job.lr})[0]
        return result
    return load_engine("onnxruntime", path, None)(job.lr, job.eps)


FORMAT = Format(
    title="ONNX, opset 18",
    extra="export",
    precisions=("fp32", "fp16", "int8"),
    any_size=True,
    write=write,
    run=run,
    inspect=None,
    names=("lr", "eps", "hr"),
    notes="In fp16 only the weights are stored in half precision: each is followed by a cast, which runtimes fold at load time. In int8\n"
    "every convolution is between QuantizeLinear and DequantizeLinear, with one scale per channel of the weights.",
    language="js",
    single_names=single.ONNX_NAMES,
    snippet=SNIPPET,
)
