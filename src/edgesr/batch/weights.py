"""The SHA-256 of the weights that a run may use, and of those that a worker has loaded."""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path
from typing import Any

from edgesr.errors import UsageError
from edgesr.presets import get_preset, int8_path, weights_path
from edgesr.upscaling.checksums import digest
from edgesr.upscaling.network import model_folder


def possible(upscaler: dict[str, Any]) -> tuple[str, ...]:
    """Return the hashes of the files of which `Upscaler(**upscaler)` takes one, as the processor and `precision` decide.

    Raises UsageError for an unknown model, one without weights, and a file that is missing.
    """
    get_preset(upscaler["model"])
    in_int8 = _is_released(upscaler) and _in_int8(upscaler).is_file()
    return tuple(loaded(upscaler, name) for name in (("fp32", "int8") if in_int8 else ("fp32",)))


def loaded(upscaler: dict[str, Any], precision: str) -> str:
    """Return the hash of the file that `Upscaler(**upscaler)` loads at a precision that it has chosen.

    A checkpoint's hash is that of its files' names and contents. Raises UsageError if there is no such file.
    """
    if not _is_released(upscaler):
        return _of_own(Path(upscaler["weights"]))
    source = _in_int8(upscaler) if precision == "int8" else weights_path(upscaler["model"], _folder(upscaler))
    if not source.is_file():
        raise UsageError(f"the model '{upscaler['model']}' has no released weights yet: see `edgesr models`")
    with resources.as_file(source) as path:
        return digest(path)


def _is_released(upscaler: dict[str, Any]) -> bool:
    """Whether the weights are the package's, or a folder of the same files."""
    return upscaler["weights"] is None or _folder(upscaler) is not None


def _folder(upscaler: dict[str, Any]) -> Path | None:
    return model_folder(upscaler["model"], upscaler["weights"])


def _in_int8(upscaler: dict[str, Any]) -> Any:
    return int8_path(upscaler["model"], _folder(upscaler), fidelity=upscaler["fidelity"] == 1)


def _of_own(path: Path) -> str:
    if path.is_file():
        return digest(path)
    if not path.is_dir():
        raise UsageError(f"--weights {path}: no such file or folder")
    whole = hashlib.sha256()
    for each in sorted(each for each in path.rglob("*") if each.is_file()):
        whole.update(f"{each.relative_to(path).as_posix()}\0".encode() + hashlib.sha256(each.read_bytes()).digest())
    return whole.hexdigest()
