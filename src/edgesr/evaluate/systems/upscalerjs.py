"""`upscalerjs-slim`, `-medium`, `-thick`: the models of UpscalerJS (npm packages @upscalerjs/esrgan-*), run by Node.

The packages lie in ./node_modules, or in DIR/node_modules for `upscalerjs-slim:DIR`.
"""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgesr.errors import EdgesrError
from edgesr.evaluate.memory import peak_rss_mb
from edgesr.evaluate.systems.base import Facts, Loaded, Pixels, Place, digest
from edgesr.evaluate.unavailable import Unavailable, brief
from edgesr.presets import SCALE

SIZES = ("slim", "medium", "thick")
SCRIPT = Path(__file__).with_name("upscalerjs.cjs")
TENSORFLOW = "@tensorflow/tfjs@4.11 @tensorflow/tfjs-backend-wasm@4.11"  # what the models ask for


@dataclass(frozen=True)
class UpscalerJs:
    """One of SIZES; `folder` holds node_modules."""

    size: str
    folder: str = "."

    @property
    def package(self) -> str:
        """The npm package of the model."""
        return f"@upscalerjs/esrgan-{self.size}"

    def facts(self) -> Facts:
        """See System."""
        if shutil.which("node") is None:
            raise Unavailable("Node is not installed (the program 'node' is not found)")
        packages = Path(self.folder, "node_modules")
        model = packages / self.package / "models" / f"x{SCALE}" / "model.json"
        tensorflow = [packages / "@tensorflow" / name for name in ("tfjs-node", "tfjs-backend-wasm")]
        if not model.is_file() or not any(folder.is_dir() for folder in tensorflow):
            raise Unavailable(
                f"npm packages are missing: in {Path(self.folder).resolve()}, npm install {self.package} {TENSORFLOW}"
            )
        try:
            network = json.loads(model.read_text(encoding="utf-8"))
            parameters, gflops = _cost(network)
            manifest = packages / self.package / "package.json"
            version = json.loads(manifest.read_text(encoding="utf-8"))["version"]
        except (OSError, ValueError, LookupError, TypeError) as error:  # damaged: any part may be missing or of another kind
            raise Unavailable(f"{model.parents[2]}: cannot be read ({brief(error)}): reinstall it") from None
        native = " (tfjs-node)" if tensorflow[0].is_dir() else " (TensorFlow.js in WebAssembly, one thread)"
        weights = sorted(model.parent.glob("*.bin"))
        return Facts(f"{self.package} {version}{native}", digest(native, SCRIPT, model, *weights), parameters, gflops)

    def load(self, threads: int) -> Loaded:  # tfjs-node takes the worker's cores
        """See System."""
        return _Loaded(self.package, self.folder)


class _Loaded:
    def __init__(self, package: str, folder: str) -> None:
        # Standard error is inherited, so that the benchmark has Node's last message if it crashes.
        self._node = subprocess.Popen(
            ["node", str(SCRIPT), package], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._answer()

    def __call__(self, lr: Pixels, place: Place) -> Pixels:
        height, width = lr.shape[:2]
        with tempfile.TemporaryDirectory(prefix="edgesr-") as folder:
            source, target = Path(folder, "lr"), Path(folder, "hr")
            source.write_bytes(lr.tobytes())
            assert self._node.stdin is not None
            task = {"width": width, "height": height, "input": str(source), "output": str(target)}
            self._node.stdin.write(json.dumps(task) + "\n")
            self._node.stdin.flush()
            self._answer()
            return np.fromfile(target, np.uint8).reshape(SCALE * height, SCALE * width, 3)

    def peak_rss_mb(self) -> float | None:
        return peak_rss_mb(self._node.pid)

    def _answer(self) -> None:
        assert self._node.stdout is not None
        line = self._node.stdout.readline()
        if not line:
            raise EdgesrError(f"node exited with code {self._node.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise EdgesrError(f"node: {answer['error'][:200]}")


def _cost(network: dict[str, Any]) -> tuple[int, float]:
    """Parameters, and 2 x multiply-accumulates / 1e9 of the convolutions for 128x128 LR px, of a Keras model in TensorFlow.js."""
    weights = [weight for group in network["weightsManifest"] for weight in group["weights"]]
    kernels = {weight["name"].rpartition("/")[0]: weight["shape"] for weight in weights if weight["name"].endswith("/kernel")}
    grid: dict[str, int] = {}  # positions of each layer's output, along one axis, for each of the input
    operations = 0.0
    for layer in network["modelTopology"]["model_config"]["config"]["layers"]:
        before = [grid[source[0]] for node in layer["inbound_nodes"] for source in node]
        enlarges = layer["class_name"] in ("UpSampling2D", f"PixelShuffle{SCALE}x")
        grid[layer["name"]] = max(before, default=1) * (SCALE if enlarges else 1)
        kernel = kernels.get(layer["name"], [0])
        operations += 2.0 * math.prod(kernel) * (128 * grid[layer["name"]]) ** 2
    return sum(math.prod(weight["shape"]) for weight in weights), round(operations / 1e9, 3)
