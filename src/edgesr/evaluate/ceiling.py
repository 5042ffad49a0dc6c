"""Measure the peak GFLOP/s of a convolution on some threads: the limit that `edgesr bench` compares the engines with.

A process of its own, `python -m edgesr.evaluate.ceiling THREADS`: it measures once for each line on standard input and answers with
GFLOP/s, so that the measurements alternate with those of the engines. It needs torch, which uses oneDNN.
"""

from __future__ import annotations

import sys
import time

import torch
import torch.nn.functional as F

CHANNELS, SIDE = 64, 128  # of a plain 3x3 convolution, `channels_last`, float32
GFLOPS = 2 * 9 * CHANNELS**2 * SIDE**2 / 1e9
REPEAT = 20  # the best one counts; slower ones include other load on the machine


def main() -> None:
    """Answer until standard input ends."""
    torch.set_num_threads(int(sys.argv[1]))
    x = torch.rand(1, CHANNELS, SIDE, SIDE).to(memory_format=torch.channels_last)
    weight = torch.rand(CHANNELS, CHANNELS, 3, 3).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        for _ in sys.stdin:
            print(GFLOPS / min(_seconds(x, weight) for _ in range(REPEAT)), flush=True)


def _seconds(x: torch.Tensor, weight: torch.Tensor) -> float:
    start = time.perf_counter()
    F.conv2d(x, weight, padding=1)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
