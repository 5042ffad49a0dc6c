"""The format `executorch`: a .pte file for PyTorch's runtime on phones, delegated to XNNPACK."""

from __future__ import annotations

from pathlib import Path

import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import to_edge_transform_and_lower
from executorch.runtime import Runtime

from edgesr.errors import EdgesrError
from edgesr.export.graph import for_runtimes
from edgesr.export.job import Format, Job
from edgesr.export.parity import Array

SNIPPET = """\
#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>
#include <random>
using namespace executorch::extension;

Module module("FILE");
std::vector<float> lr(3 * HEIGHT * WIDTH), eps(CHANNELS * ROWS * COLUMNS);  // lr: red plane, green plane, blue plane, in [0, 1]
std::mt19937 engine(0);
std::normal_distribution<float> normal;
for (float& value : eps) value = normal(engine);
auto outputs = module.forward({from_blob(lr.data(), {1, 3, HEIGHT, WIDTH}), from_blob(eps.data(), {1, CHANNELS, ROWS, COLUMNS})});
const float* hr = outputs->at(0).toTensor().const_data_ptr<float>();  // 3 planes of (4 * HEIGHT) x (4 * WIDTH), in [0, 1]
"""


def write(job: Job, folder: Path) -> None:
    """Write NAME.pte; raises EdgesrError if an operator would run in ExecuTorch's slow portable kernels."""
    graph = for_runtimes(job.model)
    program = torch.export.export(graph, (torch.from_numpy(job.lr), torch.from_numpy(job.eps)))
    edge = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    left = {str(node.target) for node in edge.exported_program().graph.nodes if node.op == "call_function"}
    left = {name for name in left if "call_delegate" not in name and "getitem" not in name}
    if left and not job.model.preset.group_norm:
        raise EdgesrError(f"executorch: XNNPACK does not support {', '.join(sorted(left))}")
    (folder / f"{job.name}.pte").write_bytes(edge.to_executorch().buffer)


def run(job: Job, folder: Path) -> Array:
    """Run it by ExecuTorch's runtime on the CPU."""
    program = Runtime.get().load_program(folder / f"{job.name}.pte")
    hr: Array = program.load_method("forward").execute([torch.from_numpy(job.lr), torch.from_numpy(job.eps)])[0].numpy().copy()
    return hr


FORMAT = Format(
    title="ExecuTorch (XNNPACK)",
    extra="executorch",
    precisions=("fp32",),
    any_size=False,
    write=write,
    run=run,
    inspect=None,
    names=("first input", "second input", "output"),
    notes="Inputs are positional, without names.",
    language="cpp",
    single_names=None,
    snippet=SNIPPET,
)
