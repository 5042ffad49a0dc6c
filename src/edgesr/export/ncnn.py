"""The format `ncnn`: .param and .bin files for Tencent's runtime on phones, by pnnx."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import ncnn
import numpy as np
import pnnx
import torch

from edgesr.errors import EdgesrError
from edgesr.export import single
from edgesr.export.graph import for_runtimes
from edgesr.export.job import Format, Job
from edgesr.export.parity import Array
from edgesr.model.at_mean import AtMean

SNIPPET = """\
#include "net.h"
#include <random>

ncnn::Net net;
if (net.load_param("FILE") || net.load_model("BIN")) return 1;
ncnn::Mat lr(WIDTH, HEIGHT, 3), eps(COLUMNS, ROWS, CHANNELS), hr;  // lr: red, green, blue channel, in [0, 1]
std::mt19937 engine(0);
std::normal_distribution<float> normal;
for (int c = 0; c < CHANNELS; c++) for (int i = 0; i < ROWS * COLUMNS; i++) ((float*)eps.channel(c))[i] = normal(engine);
ncnn::Extractor extractor = net.create_extractor();
extractor.input("in0", lr);
extractor.input("in1", eps);
extractor.extract("out0", hr);  // 3 channels of (4 * HEIGHT) x (4 * WIDTH), in [0, 1]
"""


def write(job: Job, folder: Path) -> None:
    """Write NAME.ncnn.param and NAME.ncnn.bin; with one input STEM.param and STEM.bin, as its programs call them."""
    inputs = [job.lr] if job.single else [job.lr, job.eps]
    network = for_runtimes(job.model, whole_norms=True)
    graph = AtMean(network) if job.single else network
    with tempfile.TemporaryDirectory() as scratch:
        traced = Path(scratch) / "model.pt"
        torch.jit.trace(graph, tuple(map(torch.from_numpy, inputs)), check_trace=False).save(str(traced))
        program = pnnx.EXEC_PATH
        shapes = ",".join(f"[{','.join(map(str, array.shape))}]f32" for array in inputs)
        done = subprocess.run(
            [program, str(traced), f"inputshape={shapes}", f"fp16={int(job.precision == 'fp16')}"],
            cwd=scratch, capture_output=True, check=False,
        )  # fmt: skip
        made = [Path(scratch) / f"model.ncnn.{kind}" for kind in ("param", "bin")]
        if done.returncode or not all(path.is_file() for path in made):
            reason = " ".join((done.stderr or done.stdout).decode(errors="replace").split())[-200:]
            raise EdgesrError(f"ncnn: pnnx failed ({reason})")
        if job.single:
            param, weights = single.single_ncnn(made[0].read_text(), made[1].read_bytes(), job.model.preset.multiple)
            made[0].write_text(param)
            made[1].write_bytes(weights)
        for path in made:
            (folder / f"{_stem(job)}{path.suffix}").write_bytes(path.read_bytes())


def _stem(job: Job) -> str:
    return job.stem if job.single else f"{job.stem}.ncnn"


def run(job: Job, folder: Path) -> Array:
    """Run it on the CPU in single precision."""
    net = ncnn.Net()
    net.opt.use_vulkan_compute = net.opt.use_fp16_storage = net.opt.use_fp16_packed = net.opt.use_fp16_arithmetic = False
    net.opt.num_threads = 2
    stem = folder / _stem(job)
    if net.load_param(f"{stem}.param") or net.load_model(f"{stem}.bin"):
        raise EdgesrError("ncnn: cannot load the files that pnnx wrote")
    extractor = net.create_extractor()
    inputs = {"data": job.lr} if job.single else {"in0": job.lr, "in1": job.eps}
    for name, array in inputs.items():
        planes = np.ascontiguousarray(array[0])  # kept until its memory, which ncnn.Mat only borrows, is copied
        extractor.input(name, ncnn.Mat(planes).clone())
    failed, hr = extractor.extract("output" if job.single else "out0")
    if failed:
        raise EdgesrError("ncnn: cannot run the files that pnnx wrote")
    return np.array(hr)[None]


FORMAT = Format(
    title="ncnn",
    extra="ncnn",
    precisions=("fp32", "fp16"),
    any_size=False,
    write=write,
    run=run,
    inspect=None,
    names=("in0", "in1", "out0"),
    notes="In fp16 the weights are stored in half precision; options of the runtime decide the precision of the computation.",
    language="cpp",
    single_names=single.NCNN_NAMES,
    snippet=SNIPPET,
)
