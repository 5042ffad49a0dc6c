"""The format `coreml`: an .mlpackage, by coremltools. It only runs on Apple's systems, so that its structure is checked instead."""

from __future__ import annotations

from pathlib import Path

import coremltools
import torch

from edgesr.errors import EdgesrError
from edgesr.export.graph import for_runtimes
from edgesr.export.job import Format, Job

# Operators that the Neural Engine and the GPU support; check a new one before you add it.
OPERATORS = {
    "add", "cast", "clip", "concat", "const", "conv", "exp", "mul", "pixel_shuffle", "relu", "sigmoid", "slice_by_index", "sub",
}  # fmt: skip
NORMALISED = {"real_div", "reduce_mean", "reshape", "silu", "sqrt", "upsample_nearest_neighbor"}  # with GroupNorm

SNIPPET = """\
import CoreML

let configuration = MLModelConfiguration()
configuration.computeUnits = .all  // Neural Engine, GPU, CPU
let model = try MLModel(contentsOf: MLModel.compileModel(at: URL(fileURLWithPath: "FILE")), configuration: configuration)
let lr = MLShapedArray<Float>(scalars: planes, shape: [1, 3, HEIGHT, WIDTH])  // planes: [Float], RGB planes in [0, 1]
let noise = (0..<(CHANNELS * ROWS * COLUMNS)).map { _ in sqrt(-2 * log(Float.random(in: 1e-7...1))) * cos(Float.random(in: 0..<(2 * .pi))) }
let eps = MLShapedArray<Float>(scalars: noise, shape: [1, CHANNELS, ROWS, COLUMNS])
let input = try MLDictionaryFeatureProvider(dictionary: ["lr": MLMultiArray(lr), "eps": MLMultiArray(eps)])
let hr = try model.prediction(from: input).featureValue(for: "hr")!.multiArrayValue!  // 1 x 3 x (4 * HEIGHT) x (4 * WIDTH), in [0, 1]
"""


def write(job: Job, folder: Path) -> None:
    """Write NAME.mlpackage."""
    graph = for_runtimes(job.model)
    traced = torch.jit.trace(graph, (torch.from_numpy(job.lr), torch.from_numpy(job.eps)))
    half = job.precision == "fp16"
    package = coremltools.convert(
        traced,
        convert_to="mlprogram",
        inputs=[coremltools.TensorType("lr", job.lr.shape), coremltools.TensorType("eps", job.eps.shape)],
        outputs=[coremltools.TensorType("hr")],
        minimum_deployment_target=coremltools.target.iOS16,
        compute_precision=coremltools.precision.FLOAT16 if half else coremltools.precision.FLOAT32,
    )
    package.short_description = "Edge-SD-SR: one-step latent-diffusion 4x super-resolution"
    package.license = job.metadata.get("licence", "")
    package.user_defined_metadata.update(job.metadata)
    package.save(str(folder / f"{job.name}.mlpackage"))


def inspect(job: Job, folder: Path) -> str:
    """Read the package back; return a summary. Raises EdgesrError for unexpected names, shapes, axes or operators."""
    spec = coremltools.utils.load_spec(str(folder / f"{job.name}.mlpackage"))
    got = {value.name: tuple(value.type.multiArrayType.shape) for value in (*spec.description.input, *spec.description.output)}
    batch, channels, height, width = job.lr.shape
    want = {"lr": job.lr.shape, "eps": job.eps.shape, "hr": (batch, channels, 4 * height, 4 * width)}
    (block,) = spec.mlProgram.functions["main"].block_specializations.values()
    operators = {operation.type for operation in block.operations}
    axes = {
        value.type.tensorType.rank for operation in block.operations for value in operation.outputs if operation.type != "const"
    }
    unknown = operators - OPERATORS - (NORMALISED if job.model.preset.group_norm else set())
    if got != want or unknown or axes != {4}:
        raise EdgesrError(
            f"coreml: unexpected structure of the package (shapes {got}, new operators {sorted(unknown)}, axes {sorted(axes)})"
        )
    count = sum(operation.type == "conv" for operation in block.operations)
    return f"structure as expected ({count} convolutions, 4 axes, known operators); not run: Core ML needs an Apple system"


FORMAT = Format(
    title="Core ML (ML program, iOS 16 or macOS 13 and newer)",
    extra="coreml",
    precisions=("fp32", "fp16"),
    any_size=False,
    write=write,
    run=None,
    inspect=inspect,
    names=("lr", "eps", "hr"),
    notes="fp16 computes in half precision, which the Neural Engine needs.",
    language="swift",
    single_names=None,
    snippet=SNIPPET,
)
