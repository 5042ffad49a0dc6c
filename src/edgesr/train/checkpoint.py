"""Checkpoints: a folder of safetensors shards and one JSON file, replaced as a whole so that a broken-off write loses nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from edgesr.errors import UsageError

SHARD_BYTES = 15_000_000  # small enough for a git host, a mail, a slow line


def save(folder: Path, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Write `tensors` and the JSON-able `state` to `folder`; the previous content stays until the new one is complete."""
    partial, old = folder.with_name(folder.name + ".partial"), folder.with_name(folder.name + ".old")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for number, shard in enumerate(_shards(tensors)):
        save_file(shard, partial / f"{number:03d}.safetensors")
    (partial / "state.json").write_text(json.dumps(state, indent=1))
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    partial.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def load(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save` wrote, from `folder` or, if a write broke off between its two renames, from the one before.

    Raises UsageError when there is none, or when it is damaged.
    """
    if not folder.exists() and (old := folder.with_name(folder.name + ".old")).exists():
        folder = old
    state_file = folder / "state.json"
    if not state_file.is_file():
        raise UsageError(f"{folder}: no checkpoint there")
    try:
        tensors: dict[str, Tensor] = {}
        for shard in sorted(folder.glob("*.safetensors")):
            tensors |= load_file(shard)
        return tensors, json.loads(state_file.read_text())
    except (OSError, ValueError, SafetensorError) as error:
        raise UsageError(f"{folder}: the checkpoint is damaged: {error}") from None


def _shards(tensors: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    shards: list[dict[str, Tensor]] = [{}]
    size = 0
    for name, tensor in tensors.items():
        data = tensor.detach().to("cpu").contiguous().clone()
        nbytes = data.numel() * data.element_size()
        if shards[-1] and size + nbytes > SHARD_BYTES:
            shards.append({})
            size = 0
        shards[-1][name] = data
        size += nbytes
    return shards


def load_into(module: torch.nn.Module, tensors: dict[str, Tensor], prefix: str, where: Path) -> None:
    """Load the tensors called `prefix` + name into `module`; raises UsageError when the checkpoint is of another preset."""
    own = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    try:
        module.load_state_dict(own)
    except RuntimeError:
        raise UsageError(f"{where}: the checkpoint does not fit this preset; use the recipe it was made with") from None
