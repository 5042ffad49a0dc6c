"""Engines that evaluate the released network, behind one small protocol; none but `torch` imports torch."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from edgesr.errors import EdgesrError, UsageError, one_line

Array = NDArray[np.float32]


class Contents(NamedTuple):
    """What a file of weights says of itself."""

    inputs: dict[str, tuple[int | None, ...]]  # name: shape, None for a side that may be any
    metadata: dict[str, str]  # of edgesr's own exports: preset, latent_channels, halo...; other files may have none


class Engine(Protocol):
    """A loaded network."""

    description: str  # what is really in use, for people
    contents: Contents  # of the file that it was loaded from

    def __call__(self, lr: Array, eps: Array) -> Array:
        """Map lr (1, 3, h, w) in [0, 1] and eps (1, C, h/2, w/2) to hr (1, 3, 4h, 4w) in [0, 1]; may raise MemoryError."""
        ...


# Of the model, threads, whether parts of it may fall back to the CPU, and, where it takes checkpoints, steps of the diffusion.
Load = Callable[..., Engine]


@dataclass(frozen=True)
class Kind:
    """One engine by its name on the command line."""

    load: Load
    packages: tuple[str, ...]  # any of which brings it, by what pip calls them
    install: str = ""  # what pip is to install, if that is not the first of them
    provider: str | None = None  # of onnxruntime
    checkpoints: bool = False  # whether it also takes the checkpoint folder of a training, whose network knows the time


class OnnxRuntime:
    """onnxruntime, by default on the CPU; `provider` names another device."""

    def __init__(self, model: Path | bytes, threads: int, fallback: bool, provider: str = "CPUExecutionProvider") -> None:
        onnxruntime = import_module("onnxruntime")
        if provider not in onnxruntime.get_available_providers():
            name = next(name for name, kind in ENGINES.items() if kind.provider == provider)
            have = ", ".join(onnxruntime.get_available_providers())
            raise UsageError(
                f"the engine '{name}' needs an onnxruntime with {provider}, and this one has {have}: pip install {_install(name)}"
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.enable_mem_pattern = False  # a plan kept for every shape: more memory, and no faster where shapes differ
        options.log_severity_level = 4  # nothing: errors are raised, and need not be printed as well
        on_cpu = provider == "CPUExecutionProvider"
        if not (on_cpu or fallback):
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        try:
            source = model if isinstance(model, bytes) else str(model)
            providers = [provider] if on_cpu or not fallback else [provider, "CPUExecutionProvider"]
            self._session = onnxruntime.InferenceSession(source, options, providers=providers)
        except Exception as error:  # onnxruntime's exceptions share no base class but this one
            if not on_cpu:
                raise _refused(provider, error) from None
            raise damaged(model, error) from None
        shapes = {node.name: tuple(map(_fixed, node.shape)) for node in self._session.get_inputs()}
        self.contents = Contents(shapes, dict(self._session.get_modelmeta().custom_metadata_map))
        used = self._session.get_providers()[0]
        if used != provider and not fallback:  # a device that cannot be opened is dropped with no more than a warning
            raise _refused(provider, RuntimeError(f"onnxruntime took {used} instead"))
        self.description = f"onnxruntime ({used}, {count(threads)})"

    def __call__(self, lr: Array, eps: Array) -> Array:
        """Evaluate the network; see Engine."""
        try:
            return self._session.run(["hr"], {"lr": lr, "eps": eps})[0]
        except Exception as error:  # again no base class, and none for memory
            if "Failed to allocate memory" in str(error) or "bad_alloc" in str(error):
                raise MemoryError(f"not enough memory for a window of {lr.shape[3]}x{lr.shape[2]} pixels") from error
            raise


class OpenVino:
    """Intel's OpenVINO on the CPU; it reads the same file."""

    def __init__(self, model: Path | bytes, threads: int, fallback: bool) -> None:  # it is the CPU already
        openvino = import_module("openvino")
        config = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        try:
            core = openvino.Core()
            source = core.read_model(model if isinstance(model, bytes) else str(model))
            compiled = core.compile_model(source, "CPU", config)
        except RuntimeError as error:
            raise damaged(model, error) from None
        self._request = compiled.create_infer_request()
        shapes = {
            node.any_name: tuple(None if side.is_dynamic else side.get_length() for side in node.partial_shape)
            for node in source.inputs
        }
        self.contents = Contents(shapes, _metadata(source))
        self.description = f"openvino (CPU, {count(threads)})"

    def __call__(self, lr: Array, eps: Array) -> Array:
        """Evaluate the network; see Engine."""
        return self._request.infer({"lr": lr, "eps": eps})["hr"]


def _fixed(side: object) -> int | None:
    """A side of a shape in an ONNX file; those that may be any have a name, or nothing."""
    return side if isinstance(side, int) else None


def _metadata(model: Any) -> dict[str, str]:
    """An OpenVINO model's metadata, where it keeps those of an ONNX file."""
    try:
        return {key: value.astype(str) for key, value in model.rt_info["framework"].items()}
    except (KeyError, AttributeError, TypeError, RuntimeError):
        return {}


def _torch(model: Path | bytes, threads: int, fallback: bool, steps: int) -> Engine:
    engine: Engine = import_module("edgesr.upscaling.engines.torch").Torch(model, threads, fallback, steps)
    return engine


def _on(provider: str, *packages: str) -> Kind:
    return Kind(lambda model, threads, fallback: OnnxRuntime(model, threads, fallback, provider), packages, provider=provider)


ENGINES = {
    "onnxruntime": _on("CPUExecutionProvider", "onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-qnn"),
    "openvino": Kind(OpenVino, ("openvino",), "'edgesr[openvino]'"),
    "torch": Kind(_torch, ("torch", "onnx"), "'edgesr[export]'", checkpoints=True),  # ONNX files are read by the package onnx
    "cuda": _on("CUDAExecutionProvider", "onnxruntime-gpu"),
    "coreml": _on("CoreMLExecutionProvider", "onnxruntime"),
    "directml": _on("DmlExecutionProvider", "onnxruntime-directml"),
    "qnn": _on("QNNExecutionProvider", "onnxruntime-qnn"),
}
FALLBACK = "+cpu"  # after an engine's name: parts that its device does not take may run on the CPU
CHOICE = "engine.json"  # in the cache folder: what `edgesr bench --engine all --choose` found fastest here


def load_engine(name: str, model: Path | bytes, threads: int | None, steps: int = 1) -> Engine:
    """Load `model`, an ONNX file or the bytes of one, into the engine called `name` on so many threads (None: every core; no more than
    `most_threads`).

    `model` may also be the checkpoint folder of a training, for the engine torch, which "auto" then is. It alone can take more than
    one of the diffusion's `steps` (DDIM): an ONNX file has the time of its one step folded into its weights.

    "auto" is what was measured to be fastest on this machine (`choose`), if it is still installed, else onnxruntime on the CPU. An engine
    on another device raises rather than computing on the CPU, unless its name ends in "+cpu". Raises UsageError for an unknown engine,
    one that is not installed or whose device is not there, or a wrong thread count; EdgesrError for a damaged model.
    """
    checkpoint = model if isinstance(model, Path) and model.is_dir() else None
    kind, fallback = _kind("torch" if checkpoint and name == "auto" else name)
    if checkpoint is None:
        _check_one_step(steps, model)
    elif not ENGINES[kind].checkpoints:
        raise UsageError(
            f"{checkpoint}: is a checkpoint folder, for the engine 'torch' alone: add --engine torch, or export it"
        )
    if not (isinstance(steps, int) and steps >= 1):
        raise UsageError(f"--steps {steps}: give a whole number of at least 1")
    if threads is not None and not (isinstance(threads, int) and threads >= 1):
        raise UsageError(f"--threads {threads}: give a whole number of at least 1")
    try:
        options = {"steps": steps} if ENGINES[kind].checkpoints else {}
        return ENGINES[kind].load(model, min(threads or available_cores(), most_threads()), fallback, **options)
    except ImportError:
        raise UsageError(f"the engine '{kind}' is not installed: pip install {_install(kind)}") from None


def _check_one_step(steps: int, model: Path | bytes) -> None:
    if isinstance(steps, int) and steps > 1:
        name = "a model's bytes" if isinstance(model, bytes) else str(model)
        raise UsageError(
            f"--steps {steps}: {name}: is made for one step; more need a checkpoint folder of `edgesr train` as --weights (engine torch)"
        )


def version(name: str) -> str:
    """Return package and version of the engine called `name`; raises UsageError if it is unknown or not installed."""
    kind, _ = _kind(name)
    package = next((package for package in ENGINES[kind].packages if _distribution(package)), None)
    if package is None:
        raise UsageError(f"the engine '{kind}' is not installed: pip install {_install(kind)}")
    return f"{package} {metadata.version(package)}"


def resolved(name: str) -> str:
    """Return `name` with "auto" replaced by what it means here; raises UsageError for an unknown engine."""
    kind, fallback = _kind(name)
    return kind + FALLBACK * fallback


def installed() -> list[str]:
    """Return the engines that can be tried here, the default first: the package is there and knows the device."""
    return [name for name, kind in ENGINES.items() if _can_run(kind)]


def choose(name: str) -> Path:
    """Make the engine called `name` what "auto" means on this machine from now on; return the file that says so."""
    path = _choice_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"engine": name, "version": version(name)}) + "\n", encoding="utf-8")
    return path


def _kind(name: str) -> tuple[str, bool]:
    kind, fallback = name.removesuffix(FALLBACK), name.endswith(FALLBACK)
    if kind == "auto":
        return _chosen(), fallback
    if kind not in ENGINES:
        raise UsageError(f"unknown engine '{name}': choose one of auto, {', '.join(ENGINES)}")
    return kind, fallback


def _chosen() -> str:
    """The engine that was measured fastest, while the version that was measured is installed; else onnxruntime."""
    try:
        found = json.loads(_choice_file().read_text(encoding="utf-8"))
        if found["engine"] in ENGINES and found["version"] == version(found["engine"]):
            return str(found["engine"])
    except (OSError, ValueError, KeyError, TypeError, UsageError):
        pass
    return "onnxruntime"


def _choice_file() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "edgesr", CHOICE)


def _can_run(kind: Kind) -> bool:
    if kind.provider is None:
        return all(find_spec(package) is not None for package in kind.packages)
    try:
        return kind.provider in import_module("onnxruntime").get_available_providers()
    except ImportError:
        return False


def _distribution(package: str) -> bool:
    return next(iter(metadata.Distribution.discover(name=package)), None) is not None


def _install(kind: str) -> str:
    return ENGINES[kind].install or ENGINES[kind].packages[0]


def available_cores() -> int:
    """Return the number of cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def most_threads() -> int:
    """Return how many threads an engine gets at most: more than there are cores only wait for each other."""
    return os.cpu_count() or 1


def count(threads: int) -> str:
    """Threads in words, for a description."""
    return f"{threads} thread{'s' if threads > 1 else ''}"


def _refused(provider: str, error: Exception) -> UsageError:
    return UsageError(
        f"{provider} cannot run the whole network here ({one_line(error)}); add {FALLBACK} to the engine's name to allow the CPU to help"
    )


def damaged(model: Path | bytes, error: Exception) -> EdgesrError:
    """The error of a model file that cannot be loaded."""
    name = "a model's bytes" if isinstance(model, bytes) else model
    return EdgesrError(f"{name}: cannot load the model file; reinstall edgesr, or export it again ({one_line(error)})")
