"""onnxruntime, on the CPU or on a device that one of its execution providers drives."""

from __future__ import annotations

from pathlib import Path

import onnxruntime

from edgesr.errors import UsageError, one_line
from edgesr.upscaling.engines.base import Array, Contents, Settings, load_error, thread_count, window_error

CPU = "CPUExecutionProvider"


class OnnxRuntime:
    """A session of onnxruntime with the provider of the settings, the CPU by default."""

    def __init__(self, model: Path | bytes, settings: Settings) -> None:
        provider = settings.provider or CPU
        on_cpu = provider == CPU
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = settings.threads
        options.inter_op_num_threads = 1
        options.enable_mem_pattern = False  # it keeps a plan for every shape: more memory, and no faster where shapes differ
        options.log_severity_level = 4  # print nothing: errors are raised
        options.add_session_config_entry("session.x64quantprecision", "1")  # exact 8-bit products also without VNNI
        if not (on_cpu or settings.fallback):
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        try:
            source = model if isinstance(model, bytes) else str(model)
            providers = [provider] if on_cpu or not settings.fallback else [provider, CPU]
            self._session = onnxruntime.InferenceSession(source, options, providers=providers)
        except Exception as error:  # onnxruntime's exceptions share no base class but this one
            if not on_cpu:
                raise _provider_error(provider, error) from None
            raise load_error(model, error) from None
        shapes = {node.name: tuple(map(_fixed, node.shape)) for node in self._session.get_inputs()}
        self.contents = Contents(shapes, dict(self._session.get_modelmeta().custom_metadata_map))
        used = self._session.get_providers()[0]
        if used != provider and not settings.fallback:  # onnxruntime only warns when it cannot open a device
            raise _provider_error(provider, RuntimeError(f"onnxruntime took {used} instead"))
        self.description = f"onnxruntime ({used}, {thread_count(settings.threads)})"

    def __call__(self, lr: Array, eps: Array) -> Array:
        """Evaluate the network; see Engine."""
        try:
            return self._session.run(["hr"], {"lr": lr, "eps": eps})[0]
        except Exception as error:  # again no base class, and none for memory
            if "Failed to allocate memory" in str(error) or "bad_alloc" in str(error):
                raise window_error(lr) from error
            raise


load = OnnxRuntime


def _fixed(side: object) -> int | None:
    """A side of a shape in an ONNX file; those of any length have a name, or nothing."""
    return side if isinstance(side, int) else None


def _provider_error(provider: str, error: Exception) -> UsageError:
    return UsageError(
        f"{provider} cannot run the whole network here ({one_line(error)}); add +cpu to the engine's name to allow the CPU to help"
    )
