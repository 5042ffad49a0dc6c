"""The engines that can evaluate a network, in one table. Each is a module of this package, imported on first use."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path

from edgesr.errors import UsageError, install_command
from edgesr.upscaling.engines import choice, processor
from edgesr.upscaling.engines.base import Engine, Settings, model_name
from edgesr.upscaling.engines.threads import available_cores

FALLBACK = "+cpu"  # after an engine's name: the CPU may run parts that its device does not support
PRECISIONS = ("auto", "fp32", "bf16", "int8")
DEFAULT = "onnxruntime"


@dataclass(frozen=True)
class Kind:
    """One engine by its name on the command line."""

    module: str  # of this package; its `load(model, settings)` returns an Engine
    packages: tuple[str, ...]  # as pip names them; any of them provides an engine of onnxruntime, others need all
    extra: str = ""  # of this package, which installs it; "": its first package does
    provider: str | None = None  # of onnxruntime
    checkpoints: bool = False  # whether it also takes a checkpoint folder, whose network can take several steps
    precisions: tuple[str, ...] = ("fp32",)

    @property
    def install(self) -> str:
        """The command that installs it."""
        return install_command(self.extra) if self.extra else f"pip install {self.packages[0]}"


ENGINES = {
    "onnxruntime": Kind(
        "onnxruntime",
        ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-qnn"),
        provider="CPUExecutionProvider",
        precisions=("fp32", "int8"),
    ),
    "openvino": Kind("openvino", ("openvino",), "openvino", precisions=("fp32", "bf16", "int8")),
    "torch": Kind("torch", ("torch", "onnx"), "export", checkpoints=True),  # onnx reads ONNX files
    "cuda": Kind("onnxruntime", ("onnxruntime-gpu",), provider="CUDAExecutionProvider"),
    "coreml": Kind("onnxruntime", ("onnxruntime",), provider="CoreMLExecutionProvider"),
    "directml": Kind("onnxruntime", ("onnxruntime-directml",), provider="DmlExecutionProvider"),
    "qnn": Kind("onnxruntime", ("onnxruntime-qnn",), provider="QNNExecutionProvider"),
}


def load_engine(name: str, model: Path | bytes, threads: int | None, steps: int = 1, precision: str = "fp32") -> Engine:
    """Load `model`, an ONNX file or the bytes of one, into the engine called `name`.

    `threads` None uses every core; more than `available_cores` are never used. `model` may also be a checkpoint folder, for the engine
    torch, which "auto" then selects. Only a checkpoint can take more than one of the diffusion's `steps` (DDIM): an ONNX file has the
    time of its one step folded into its weights.

    `precision` "bf16" lets openvino compute in bfloat16; whether a file is in 8 bits is up to the file. See `select`.

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
    float_precision = "bf16" if precision == "bf16" else "fp32"
    settings = Settings(min(threads or available_cores(), available_cores()), kind.provider, fallback, steps, float_precision)
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


def installed() -> list[str]:
    """Return the engines that can be tried here, the default first: their package is installed and knows the device."""
    return [name for name, kind in ENGINES.items() if _can_run(kind)]


def choose(name: str, precision: str = "auto") -> Path:
    """Let "auto" select the engine called `name` and its precision on this machine from now on; return the file that stores this."""
    return choice.write(choice.Choice(name, version(name), precision))


def select(engine: str, precision: str, *, int8: bool) -> tuple[str, str]:
    """Return an engine and a precision that it has, with "auto" replaced: fp32, bf16 or int8.

    `int8` says whether the weights exist in 8 bits. For "auto", what `choose` stored comes first. Then come the precisions that were
    measured faster on processors with the same abilities: bf16 with openvino and AMX, int8 on x86 with VNNI. All else is fp32. Raises
    UsageError for unknown names, and for a precision that the engine, the processor or the weights do not have.
    """
    if precision not in PRECISIONS:
        raise UsageError(f"unknown precision '{precision}': choose one of {', '.join(PRECISIONS)}")
    if engine == "auto":
        engine, precision = _selected(precision, int8=int8)
    found, _ = _parsed(engine)
    if precision == "auto":
        return engine, _fastest(found, int8=int8)
    _check_precision(found, precision, int8=int8)
    return engine, precision


def precisions_of(engine: str, *, int8: bool) -> list[str]:
    """Return the precisions that an engine can compute in here; `int8` as in `select`. Raises UsageError for an unknown engine."""
    found, _ = _parsed(engine)
    return [precision for precision in ENGINES[found].precisions if _lacks(found, precision, int8=int8) is None]


def hint() -> str | None:
    """Return what another engine would gain on this processor, for a user of "auto"; None: nothing, or it was said before."""
    if not processor.has("matrix bfloat16") or _stored() or _can_run(ENGINES["openvino"]):
        return None
    said = choice.folder() / "hint"
    try:
        said.parent.mkdir(parents=True, exist_ok=True)
        with said.open("x"):
            pass
    except OSError:  # it was said, or would be said every time
        return None
    return f"openvino was about three times as fast on processors like this one (bfloat16): {ENGINES['openvino'].install}"


def _selected(precision: str, *, int8: bool) -> tuple[str, str]:
    """The engine for "auto", and the precision, which may still be "auto"."""
    stored = _stored()
    if stored and precision in ("auto", *ENGINES[stored.engine].precisions):
        usable = stored.precision != "int8" or int8
        return stored.engine, stored.precision if precision == "auto" and usable else precision
    faster = processor.has("matrix bfloat16") and _can_run(ENGINES["openvino"])
    return "openvino" if precision == "bf16" or (precision == "auto" and faster) else DEFAULT, precision


def _fastest(name: str, *, int8: bool) -> str:
    """The fastest precision of an engine that was measured on processors like this one."""
    have = ENGINES[name].precisions
    if "bf16" in have and processor.has("matrix bfloat16"):
        return "bf16"
    return "int8" if int8 and "int8" in have and processor.is_x86() and processor.has("dot product") else "fp32"


def _check_precision(name: str, precision: str, *, int8: bool) -> None:
    have = ENGINES[name].precisions
    if precision not in have:
        others = [other for other, kind in ENGINES.items() if precision in kind.precisions]
        raise UsageError(
            f"precision {precision}: the engine '{name}' only has {', '.join(have)}; use one of these, or --engine {others[0]}"
        )
    if lack := _lacks(name, precision, int8=int8):
        raise UsageError(f"precision {precision}: {lack}: use auto or fp32")


def _lacks(name: str, precision: str, *, int8: bool) -> str | None:
    """What is missing here for a precision that the engine has; None: nothing."""
    if precision == "bf16" and processor.has("bfloat16") is False:
        return "this processor has no bfloat16 (AVX512-BF16, AMX, Arm's BF16)"
    if precision == "int8" and not int8:
        return "this model has no weights in 8 bits"
    if precision == "int8" and name == "openvino" and processor.is_x86() and processor.has("dot product") is False:
        return "openvino's sums overflow on processors without VNNI, which damages pictures (onnxruntime's do not)"
    return None


def _parsed(name: str) -> tuple[str, bool]:
    """The engine that `name` selects, and whether the CPU may help."""
    kind, fallback = name.removesuffix(FALLBACK), name.endswith(FALLBACK)
    if kind == "auto":
        stored = _stored()
        return stored.engine if stored else DEFAULT, fallback
    if kind not in ENGINES:
        raise UsageError(f"unknown engine '{name}': choose one of auto, {', '.join(ENGINES)}")
    return kind, fallback


def _stored() -> choice.Choice | None:
    """The engine and precision that were measured fastest, while the version that was measured is installed."""
    stored = choice.read()
    try:
        usable = stored and stored.engine in ENGINES and version(stored.engine) == stored.version
    except UsageError:
        return None
    return stored if usable else None


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
