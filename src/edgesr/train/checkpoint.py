"""Checkpoints: a folder of safetensors shards and one JSON file, replaced as a whole: a broken-off write loses nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from edgesr.errors import EdgesrError, UsageError

SHARD_BYTES = 15_000_000  # small enough for a git host, a mail, a slow line
HEADER_BYTES = 256  # of a shard's file a tensor at most: its name, type, shape and place
_PIECE = "//"  # between a tensor's name and the number of its piece, where it is larger than a shard


def exists(folder: Path) -> bool:
    """Whether `load` would find a checkpoint in `folder`."""
    return _latest(folder).exists()


def save(folder: Path, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Write `tensors` and the JSON-able `state` to `folder`; the previous content stays until the new one is complete.

    Raises EdgesrError when it cannot be written, for example on a full disk; the previous content is then still there.
    """
    partial, old = _beside(folder, "partial"), _beside(folder, "old")
    try:
        _write(partial, tensors, state)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        reason = " ".join(str(error).split())
        raise EdgesrError(
            f"{folder}: cannot write the checkpoint, the one before it stays; make room and --resume ({reason})"
        ) from None
    if folder.exists():
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
    # From here to the next line the only complete checkpoints are `old` and `partial`: `load` takes `old`.
    partial.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _write(partial: Path, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    shards = _shards(tensors)
    for number, shard in enumerate(shards):
        save_file(shard, partial / f"{number:03d}.safetensors")
    (partial / "state.json").write_text(json.dumps({**state, "shards": len(shards)}, indent=1))


def load(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save` wrote, from `folder` or, if a write broke off between its two renames, from the one before.

    Raises UsageError when there is none, or when it is damaged.
    """
    while True:  # a running training may replace the checkpoint while it is read
        latest = _latest(folder)
        stamp, problem = _stamp(latest), None
        try:
            tensors, state = _read(latest)
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            problem = error
        if _stamp(_latest(folder)) == stamp:
            break
    if stamp is None:
        raise UsageError(f"{folder}: no checkpoint there")
    if problem is not None:
        raise UsageError(f"{folder}: the checkpoint is damaged: {' '.join(str(problem).split())}")
    return tensors, state


def _read(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    state = json.loads((folder / "state.json").read_text())
    shards = [load_file(shard) for shard in sorted(folder.glob("*.safetensors"))]
    if not isinstance(state, dict) or len(shards) != state.pop("shards", len(shards)):
        raise ValueError("a shard is missing, or state.json is not its own")
    return _joined(shards), state


def _stamp(folder: Path) -> tuple[int, int] | None:
    """What changes when a checkpoint is replaced; None where there is none."""
    try:
        status = (folder / "state.json").stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def load_into(module: torch.nn.Module, tensors: dict[str, Tensor], prefix: str, where: Path) -> None:
    """Load the tensors called `prefix` + name into `module`; raises UsageError when the checkpoint is of another preset."""
    own = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    try:
        module.load_state_dict(own)
    except RuntimeError:
        raise UsageError(f"{where}: the checkpoint does not fit this preset; use the recipe it was made with") from None


def _beside(folder: Path, word: str) -> Path:
    return folder.with_name(f"{folder.name}.{word}")


def _latest(folder: Path) -> Path:
    old = _beside(folder, "old")
    return old if old.exists() and not folder.exists() else folder


def _shards(tensors: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    shards: list[dict[str, Tensor]] = [{}]
    size = 0
    for name, tensor in tensors.items():
        for piece_name, piece in _pieces(name, tensor.detach().to("cpu")):
            nbytes = piece.nbytes + HEADER_BYTES
            if shards[-1] and size + nbytes > SHARD_BYTES:
                shards.append({})
                size = 0
            shards[-1][piece_name] = piece.clone(memory_format=torch.contiguous_format)
            size += nbytes
    return shards


def _pieces(name: str, tensor: Tensor) -> list[tuple[str, Tensor]]:
    """The tensor itself, or slices of its first axis that fit into a shard each."""
    room = SHARD_BYTES - HEADER_BYTES
    if tensor.nbytes <= room:
        return [(name, tensor)]
    rows = max(1, room // tensor[0].nbytes)
    return [(f"{name}{_PIECE}{i:03d}", piece) for i, piece in enumerate(tensor.split(rows))]


def _joined(shards: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    groups: dict[str, list[Tensor]] = {}
    for name, tensor in sorted((item for shard in shards for item in shard.items()), key=lambda item: item[0]):
        groups.setdefault(name.partition(_PIECE)[0], []).append(tensor)
    return {name: pieces[0] if len(pieces) == 1 else torch.cat(pieces) for name, pieces in groups.items()}
