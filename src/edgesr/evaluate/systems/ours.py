"""`edgesr:PRESET[@ENGINE][:fidelity=F]` or `edgesr:PRESET[@ENGINE]:weights=FILE[:steps=N]`: this package's own models."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import edgesr
from edgesr import upscaling
from edgesr.errors import UsageError, one_line
from edgesr.evaluate.systems.base import Facts, InProcess, Loaded, Pixels, Place, code, digest
from edgesr.evaluate.unavailable import Unavailable
from edgesr.images import bands
from edgesr.presets import difference_path, get_preset, weights_path
from edgesr.upscaling import engines
from edgesr.upscaling.upscaler import Upscaler

# The code that decides the pixels, beside the weights.
_CODE = [*sorted(Path(upscaling.__file__).parent.rglob("*.py")), Path(bands.__file__)]


@dataclass(frozen=True)
class Ours:
    """A preset with an engine and a fidelity, as `edgesr upscale` would use it."""

    preset: str
    engine: str = "onnxruntime"
    fidelity: float = 0.0
    weights: str | None = None  # an ONNX file in place of the released one, or a checkpoint folder
    steps: int = 1  # of the diffusion; more of a checkpoint folder alone

    @classmethod
    def parse(cls, text: str) -> Ours:
        """Parse what follows "edgesr:"; raises UsageError that shows the form."""
        match = re.fullmatch(r"(\w+)(?:@([\w+]+))?(?::fidelity=([\d.]+)|:weights=(.+?))?(?::steps=([1-9]\d*))?", text)
        try:
            if match is None:
                raise ValueError
            fidelity = float(match[3] or 0)
        except ValueError:
            raise UsageError(
                f"system 'edgesr:{text}': write edgesr:PRESET[@ENGINE][:fidelity=F] or edgesr:PRESET[@ENGINE]:weights=FILE, as in "
                "edgesr:tiny@openvino:fidelity=1"
            ) from None
        engine = "torch" if match[4] and Path(match[4]).is_dir() else "onnxruntime"
        return cls(get_preset(match[1]).name, match[2] or engine, fidelity, match[4], int(match[5] or 1))

    def facts(self) -> Facts:
        """See System."""
        preset = get_preset(self.preset)
        try:
            parts = self._parts()
        except OSError as error:
            if self.weights:
                raise Unavailable(f"{self.weights}: cannot be read ({one_line(error)})") from None
            what = f"fidelity {self.fidelity:g}" if weights_path(self.preset).is_file() else "released weights"
            raise Unavailable(f"the model '{self.preset}' has no {what} yet") from None
        try:
            engine = engines.version(self.engine)
        except UsageError as error:
            raise Unavailable(str(error)) from None
        form = f", fidelity {self.fidelity:g}" if difference_path(self.preset).is_file() else ""
        form = f", {self.weights}" if self.weights else form
        form += f", {self.steps} steps" if self.steps > 1 else ""
        return Facts(
            f"edgesr {edgesr.__version__} {self.preset}{form} ({engine})",
            digest(f"{self.engine} {engine} {self.fidelity} {self.steps}", *parts, *map(code, _CODE)),
            parameters=int(preset.parameters.total),
            gflops=round(preset.gflops.total + (self.steps - 1) * preset.gflops.unet, 3),
        )

    def load(self, threads: int) -> Loaded:
        """See System."""
        upscaler = Upscaler(
            self.preset,
            engine=self.engine,
            fidelity=self.fidelity,
            threads=threads,
            weights=self.weights,
            steps=self.steps,
        )
        return _Loaded(upscaler)

    def _parts(self) -> list[bytes | str]:
        """Return what identifies these weights: bytes, or fingerprints of files; raises OSError."""
        if self.weights is None:
            released = [weights_path(self.preset), *([difference_path(self.preset)] if self.fidelity else [])]
            return [source.read_bytes() for source in released]
        path = Path(self.weights)
        return [digest(file) for file in (sorted(path.iterdir()) if path.is_dir() else [path])]


class _Loaded(InProcess):
    def __init__(self, upscaler: Upscaler) -> None:
        self._upscaler = upscaler

    def __call__(self, lr: Pixels, place: Place) -> Pixels:
        out: Pixels = self._upscaler(lr)
        return out
