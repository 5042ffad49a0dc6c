"""`edgesr:PRESET[@ENGINE][:fidelity=F]` or `edgesr:PRESET[@ENGINE]:weights=FILE`: this package's own models."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import edgesr
from edgesr import runtime
from edgesr.errors import UsageError
from edgesr.evaluate.systems.base import Facts, InProcess, Loaded, Pixels, Place, digest
from edgesr.evaluate.unavailable import Unavailable
from edgesr.presets import difference_path, get_preset, weights_path
from edgesr.upscaler import Upscaler

# What decides the pixels beside the weights.
_CODE = [
    Path(edgesr.__file__).with_name(f"{name}.py")
    for name in ("bands", "forms", "noise", "planes", "runtime", "tiling", "upscaler")
]


@dataclass(frozen=True)
class Ours:
    """A preset with an engine and a fidelity, as `edgesr upscale` would use it."""

    preset: str
    engine: str = "onnxruntime"
    fidelity: float = 0.0
    weights: str | None = None  # an ONNX file in place of the released one

    @classmethod
    def parse(cls, text: str) -> Ours:
        """Parse what follows "edgesr:"; raises UsageError that shows the form."""
        match = re.fullmatch(r"(\w+)(?:@([\w+]+))?(?::fidelity=([\d.]+)|:weights=(.+))?", text)
        try:
            if match is None:
                raise ValueError
            fidelity = float(match[3] or 0)
        except ValueError:
            raise UsageError(
                f"system 'edgesr:{text}': write edgesr:PRESET[@ENGINE][:fidelity=F] or edgesr:PRESET[@ENGINE]:weights=FILE, as in "
                "edgesr:tiny@openvino:fidelity=1"
            ) from None
        return cls(get_preset(match[1]).name, match[2] or "onnxruntime", fidelity, match[4])

    def facts(self) -> Facts:
        """See System."""
        preset = get_preset(self.preset)
        released = [weights_path(self.preset), *([difference_path(self.preset)] if self.fidelity else [])]
        sources = [Path(self.weights)] if self.weights else released
        try:
            parts = [source.read_bytes() for source in sources]
        except OSError as error:
            if self.weights:
                raise Unavailable(f"{self.weights}: cannot be read ({error.strerror})") from None
            what = f"fidelity {self.fidelity:g}" if weights_path(self.preset).is_file() else "released weights"
            raise Unavailable(f"the model '{self.preset}' has no {what} yet") from None
        try:
            engine = runtime.version(self.engine)
        except UsageError as error:
            raise Unavailable(str(error)) from None
        form = f", fidelity {self.fidelity:g}" if difference_path(self.preset).is_file() else ""
        form = f", {self.weights}" if self.weights else form
        return Facts(
            f"edgesr {edgesr.__version__} {self.preset}{form} ({engine})",
            digest(f"{self.engine} {engine} {self.fidelity}", *parts, *_CODE),
            parameters=int(preset.parameters.total),
            gflops=round(preset.gflops.total, 3),
        )

    def load(self, threads: int) -> Loaded:
        """See System."""
        return _Loaded(Upscaler(self.preset, engine=self.engine, fidelity=self.fidelity, threads=threads, weights=self.weights))


class _Loaded(InProcess):
    def __init__(self, upscaler: Upscaler) -> None:
        self._upscaler = upscaler

    def __call__(self, lr: Pixels, place: Place) -> Pixels:  # noqa: ARG002 (see Loaded)
        out: Pixels = self._upscaler(lr)
        return out
