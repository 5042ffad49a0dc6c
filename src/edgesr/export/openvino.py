"""The format `openvino`: Intel's intermediate representation, .xml and .bin files."""

from __future__ import annotations

import tempfile
from pathlib import Path

import openvino

from edgesr.export import onnx_files
from edgesr.export.job import Format, Job
from edgesr.export.parity import Array
from edgesr.upscaling.engines import load_engine

SNIPPET = """\
import numpy as np
import openvino

model = openvino.Core().compile_model("FILE", "CPU")  # or GPU, NPU, AUTO
lr = np.zeros((1, 3, HEIGHT, WIDTH), np.float32)  # RGB planes in [0, 1]
eps = np.random.standard_normal((1, CHANNELS, ROWS, COLUMNS)).astype(np.float32)
hr = model({"lr": lr, "eps": eps})["hr"]  # (1, 3, 4 * HEIGHT, 4 * WIDTH) in [0, 1]
"""


def write(job: Job, folder: Path) -> None:
    """Write NAME.xml and NAME.bin."""
    full = job._replace(precision="fp32") if job.precision == "fp16" else job
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "model.onnx"
        source.write_bytes(onnx_files.graph(full))
        openvino.save_model(
            openvino.convert_model(source), folder / f"{job.name}.xml", compress_to_fp16=job.precision == "fp16"
        )


def run(job: Job, folder: Path) -> Array:
    """Run it by OpenVINO on the CPU."""
    return load_engine("openvino", folder / f"{job.name}.xml", None)(job.lr, job.eps)


FORMAT = Format(
    title="OpenVINO IR",
    extra="openvino",
    precisions=("fp32", "fp16", "int8"),
    any_size=True,
    write=write,
    run=run,
    inspect=None,
    names=("lr", "eps", "hr"),
    notes="",
    language="python",
    single_names=None,
    snippet=SNIPPET,
)
