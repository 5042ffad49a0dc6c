"""The engines that can evaluate a network, in one table. Each is a module of this package, imported on first use."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path

from edgesr.errors import UsageError, install_command
from edgesr.upscaling.engines import choice
from edgesr.upscaling.engines.base import Engine, Settings, model_name
from edgesr.upscaling.engines.threads import available_cores, most_threads

FALLBACK = "+cpu"  # after an engine's name: the CPU may run parts that its device does not support


@dataclass(frozen=True)
class Kind:
    """One engine by its name on the command line."""

    module: str  # of this package; its `load(model, settings)` returns an Engine
    packages: tuple[str, ...]  # as pip names them; any of them provides an engine of onnxruntime, others need all
    extra: str = ""  # of this package, which installs it; "": its first package does
    provider: str | None = None  # of onnxruntime
    checkpoints: bool = False  # whether it also takes a checkpoint folder, whose network can take several steps

    @property
    def install(self) -> str:
        """The command that installs it."""
        return install_command(self.extra) if self.extra else f"pip install {self.packages[0]}"


ENGINES = {
    "onnxruntime": Kind(
        "onnxruntime",
        ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-qnn"),
        provider="CPUExecutionProvider",
    ),
    "openvino": Kind("openvino", ("openvino",), "openvino"),
    "torch": Kind("torch", ("torch", "onnx"), "export", checkpoints=True),  # onnx reads ONNX files
    "cuda": Kind("onnxruntime", ("onnxruntime-gpu",), provider="CUDAExecutionProvider"),
    "coreml": Kind("onnxruntime", ("onnxruntime",), provider="CoreMLExecutionProvider"),
    "directml": Kind("onnxruntime", ("onnxruntime-directml",), provider="DmlExecutionProvider"),
    "qnn": Kind("onnxruntime", ("onnxruntime-qnn",), provider="QNNExecutionProvider"),
}


def load_engine(name: str, model: Path | bytes, threads: int | None, steps: int = 1) -> Engine:
    """Load `model`, an ONNX file or the bytes of one, into the engine called `name`.

    `threads` None uses every core; more than `most_threads` are never used. `model` may also be a checkpoint folder, for the engine
    torch, which "auto" then selects. Only a checkpoint can take more than one of the diffusion's `steps` (DDIM): an ONNX file has the
    time of its one step folded into its weights.

    "auto" is the engine that `choose` stored, if it is still installed, else onnxruntime on the CPU. An engine on another device
    raises instead of computing on the CPU, unless its name ends in "+cpu". Raises UsageError for an unknown engine, one that is not
    installed or whose device is missing, or a wrong thread count; EdgesrError for a damaged model.
    """
    checkpoint = isinstance(model, Path) and model.is_dir()
    found, fallback = _parsed("torch" if checkpoint and name == "auto" else name)
    kind = ENGINES[found]
    if checkpoint and not kind.checkpoints:
        raise UsageError(
            f"{model_name(model)}: only the engine 'torch' reads checkpoint folders: add --engine torch, or export it"
        )
    if not checkpoint and isinstance(steps, int) and steps > 1:
        raise UsageError(
            f"--steps {steps}: {model_name(model)}: supports one step; more need a checkpoint folder of `edgesr train` as "
            "--weights (engine torch)"
        )
    if not (isinstance(steps, int) and steps >= 1):
        raise UsageError(f"--steps {steps}: give a whole number of at least 1")
    if threads is not None and not (isinstance(threads, int) and threads >= 1):
        raise UsageError(f"--threads {threads}: give a whole number of at least 1")
    settings = Settings(min(threads or available_cores(), most_threads()), kind.provider, fallback, steps)
    try:
        _check_provider(found)
        engine: Engine = import_module(f"{__name__}.{kind.module}").load(model, settings)
    except ImportError:
        raise _not_installed(found) from None
    return engine


def version(name: str) -> str:
    """Return package and version of the engine called `name`; raises UsageError if it is unknown or not installed."""
    found, _ = _parsed(name)
    package = next((package for package in ENGINES[found].packages if _is_installed(package)), None)
    if package is None:
        raise _not_installed(found)
    return f"{package} {metadata.version(package)}"


def resolved(name: str) -> str:
    """Return `name` with "auto" replaced by the engine that it selects here; raises UsageError for an unknown engine."""
    found, fallback = _parsed(name)
    return found + FALLBACK * fallback


def installed() -> list[str]:
    """Return the engines that can be tried here, the default first: their package is installed and knows the device."""
    return [name for name, kind in ENGINES.items() if _can_run(kind)]


def choose(name: str) -> Path:
    """Let "auto" select the engine called `name` on this machine from now on; return the file that stores this."""
    return choice.write(name, version(name))


def _parsed(name: str) -> tuple[str, bool]:
    """The engine that `name` selects, and whether the CPU may help."""
    kind, fallback = name.removesuffix(FALLBACK), name.endswith(FALLBACK)
    if kind == "auto":
        return _chosen(), fallback
    if kind not in ENGINES:
        raise UsageError(f"unknown engine '{name}': choose one of auto, {', '.join(ENGINES)}")
    return kind, fallback


def _chosen() -> str:
    """The engine that was measured fastest, while the version that was measured is installed; else onnxruntime."""
    engine, measured = choice.read() or ("", "")
    try:
        return engine if engine in ENGINES and version(engine) == measured else "onnxruntime"
    except UsageError:
        return "onnxruntime"


def _check_provider(name: str) -> None:
    """Raise UsageError if the onnxruntime that is installed lacks the engine's provider; ImportError if there is none."""
    kind = ENGINES[name]
    if kind.provider is not None and kind.provider not in (have := _providers()):
        raise UsageError(
            f"the engine '{name}' needs an onnxruntime with {kind.provider}; the installed one has {', '.join(have)}: "
            f"{kind.install}"
        )


def _can_run(kind: Kind) -> bool:
    if kind.provider is None:
        return all(find_spec(package) is not None for package in kind.packages)
    try:
        return kind.provider in _providers()
    except ImportError:
        return False


def _providers() -> list[str]:
    providers: list[str] = import_module("onnxruntime").get_available_providers()
    return providers


def _is_installed(package: str) -> bool:
    return next(iter(metadata.Distribution.discover(name=package)), None) is not None


def _not_installed(name: str) -> UsageError:
    return UsageError(f"the engine '{name}' is not installed: {ENGINES[name].install}")
