"""`edgesr:PRESET[@ENGINE][:fidelity=F][:precision=P][:sharpness=S]` or `edgesr:PRESET[@ENGINE]:weights=FILE[:steps=N]`: our models."""

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
from edgesr.presets import difference_path, get_preset, int8_path, weights_path
from edgesr.upscaling import engines
from edgesr.upscaling.upscaler import Upscaler

# The code that decides the pixels, beside the weights.
_CODE = [*sorted(Path(upscaling.__file__).parent.rglob("*.py")), Path(bands.__file__)]


@dataclass(frozen=True)
class Ours:
    """A preset with an engine and a fidelity, as `edgesr upscale` would use it; without its sharpening, unless that is asked for."""

    preset: str
    engine: str = "onnxruntime"
    fidelity: float = 0.0
    weights: str | None = None  # an ONNX file in place of the released one, or a checkpoint folder
    steps: int = 1  # of the diffusion; more of a checkpoint folder alone
    precision: str | None = None  # None: that of the weights, fp32 for the released ones
    sharpness: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Ours:
        """Parse what follows "edgesr:"; raises UsageError that shows the form."""
        match = re.fullmatch(
            r"(\w+)(?:@([\w+]+))?(?::fidelity=([\d.]+)|:weights=(.+?))?(?::precision=(\w+))?(?::steps=([1-9]\d*))?"
            r"(?::sharpness=([\d.]+))?",
            text,
        )
        try:
            if match is None:
                raise ValueError
            fidelity, sharpness = float(match[3] or 0), float(match[7] or 0)
            if sharpness > 1:
                raise ValueError
        except ValueError:
            raise UsageError(
                f"system 'edgesr:{text}': write edgesr:PRESET[@ENGINE][:fidelity=F][:precision=P][:sharpness=S] or "
                "edgesr:PRESET[@ENGINE]:weights=FILE, as in edgesr:tiny@openvino:fidelity=1"
            ) from None
        engine = "torch" if match[4] and Path(match[4]).is_dir() else "onnxruntime"
        return cls(get_preset(match[1]).name, match[2] or engine, fidelity, match[4], int(match[6] or 1), match[5], sharpness)

    def facts(self) -> Facts:
        """See System."""
        preset = get_preset(self.preset)
        try:
            precision = self._precision()
            parts = self._parts(precision)
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
        form += f", {precision}" if self.precision else ""
        form += f", {self.steps} steps" if self.steps > 1 else ""
        form += f", sharpness {self.sharpness:g}" if self.sharpness else ""
        return Facts(
            f"edgesr {edgesr.__version__} {self.preset}{form} ({engine})",
            digest(
                f"{self.engine} {engine} {self.fidelity} {self.steps}{precision if self.precision else ''} {self.sharpness}",
                *parts,
                *map(code, _CODE),
            ),
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
            precision=self.precision or ("auto" if self.weights else "fp32"),
        )
        return _Loaded(upscaler, self.sharpness)

    def _precision(self) -> str:
        """The precision in use; raises Unavailable if the engine or the processor does not have it."""
        if self.weights is not None or self.precision is None:
            return self.precision or "fp32"
        int8 = int8_path(self.preset, fidelity=self.fidelity == 1).is_file()
        try:
            return engines.select(self.engine, self.precision, int8=int8)[1]
        except UsageError as error:
            raise Unavailable(str(error)) from None

    def _parts(self, precision: str) -> list[bytes | str]:
        """Return what identifies these weights: bytes, or fingerprints of files; raises OSError."""
        if self.weights is None:
            released = [weights_path(self.preset), *([difference_path(self.preset)] if self.fidelity else [])]
            if precision == "int8":
                released = [int8_path(self.preset, fidelity=self.fidelity == 1)]
            return [source.read_bytes() for source in released]
        path = Path(self.weights)
        return [digest(file) for file in (sorted(path.iterdir()) if path.is_dir() else [path])]


class _Loaded(InProcess):
    def __init__(self, upscaler: Upscaler, sharpness: float) -> None:
        self._upscaler, self._sharpness = upscaler, sharpness

    def __call__(self, lr: Pixels, place: Place) -> Pixels:
        out: Pixels = self._upscaler(lr, sharpness=self._sharpness)
        return out
