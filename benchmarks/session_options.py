"""Compare onnxruntime's settings on this machine, in turns: `python benchmarks/session_options.py [--threads 2] [--repeat 30]`."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import onnxruntime as ort

from edgesr.presets import weights_path


def shipped(options: ort.SessionOptions) -> None:
    options.enable_mem_pattern = False


def entry(key: str, value: str) -> Callable[[ort.SessionOptions], None]:
    def change(options: ort.SessionOptions) -> None:
        shipped(options)
        options.add_session_config_entry(key, value)

    return change


def without_nchwc(options: ort.SessionOptions) -> None:
    shipped(options)
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED


def without_arena(options: ort.SessionOptions) -> None:
    shipped(options)
    options.enable_cpu_mem_arena = False


SETTINGS: dict[str, Callable[[ort.SessionOptions], None]] = {
    "as shipped": shipped,
    "onnxruntime's defaults (memory pattern)": lambda options: None,
    "threads that sleep, not spin": entry("session.intra_op.allow_spinning", "0"),
    "denormals as zero": entry("session.set_denormal_as_zero", "1"),
    "work cut finer (dynamic block base 4)": entry("session.dynamic_block_base", "4"),
    "plain layout, no NCHWc": without_nchwc,
    "no memory arena": without_arena,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=30)
    parser.add_argument("--side", type=int, default=128)
    arguments = parser.parse_args()
    rng, side = np.random.default_rng(0), arguments.side
    feed = {
        "lr": rng.random((1, 3, side, side), np.float32),
        "eps": rng.standard_normal((1, 16, side // 2, side // 2), np.float32),
    }
    sessions = {}
    for name, change in SETTINGS.items():
        options = ort.SessionOptions()
        options.intra_op_num_threads = arguments.threads
        change(options)
        sessions[name] = ort.InferenceSession(str(weights_path("tiny")), options, providers=["CPUExecutionProvider"])
    seconds: dict[str, list[float]] = {name: [] for name in sessions}
    for turn in range(arguments.repeat + 1):
        for name, session in sessions.items():
            began = time.perf_counter()
            session.run(["hr"], feed)
            if turn:
                seconds[name].append(time.perf_counter() - began)
    base = statistics.median(seconds["as shipped"])
    print(f"| {side}x{side}, {arguments.threads} threads | median, ms | against what ships |\n|---|---|---|")
    for name, found in seconds.items():
        median = statistics.median(found)
        print(f"| {name} | {1e3 * median:.1f} | {median / base:.2f} |")


if __name__ == "__main__":
    main()
