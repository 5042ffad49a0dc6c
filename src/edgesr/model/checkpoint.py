"""Checkpoints: a folder of safetensors shards and one JSON file, replaced atomically, so that an interrupted write loses nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from edgesr.atomic import beside, new_folder
from edgesr.errors import EdgesrError, UsageError, one_line
from edgesr.model.quantised import dequantise

SHARD_BYTES = 15_000_000  # small enough for git hosts, e-mail and slow connections
HEADER_BYTES = 256  # upper bound per tensor in a shard's header: name, type, shape and offsets
_PIECE = "//"  # separates the name of a tensor larger than a shard from the number of its piece


def exists(folder: Path) -> bool:
    """Whether `load` would find a checkpoint in `folder`."""
    return _latest(folder).exists()


def save(folder: Path, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Write `tensors` and the JSON-serialisable `state` to `folder`; the previous content stays until the new one is complete.

    Raises EdgesrError if it cannot be written, for example on a full disk; the previous content is then kept.
    """
    with replacing(folder) as partial:
        write(partial, tensors, state)


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """Yield a new, empty folder next to `folder` that replaces it when the block ends without an error.

    Raises EdgesrError if a write fails. After any error or an interruption the previous content is still there.
    """
    try:
        with new_folder(folder) as partial:
            yield partial
    except (OSError, SafetensorError) as error:
        raise EdgesrError(
            f"{folder}: cannot write the checkpoint, the one before it stays; make room and try again, a training by --resume "
            f"({one_line(error)})"
        ) from None


def write(folder: Path, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Write the files of a checkpoint into the empty `folder`; raises OSError or SafetensorError. `save` is the atomic version."""
    for count, shard in enumerate(_shards(tensors), start=1):
        save_file(shard, folder / f"{count - 1:03d}.safetensors")
    (folder / "state.json").write_text(json.dumps({**state, "shards": count}, indent=1))


def load(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save` wrote, from `folder` or, if a write was interrupted between its two renames, from the previous folder.

    Raises UsageError if there is no checkpoint or it is damaged.
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
        raise UsageError(f"{folder}: the checkpoint is damaged: {one_line(problem)}")
    return tensors, state


def load_state(folder: Path) -> dict[str, Any]:
    """Read only the state that `save` wrote; raises UsageError if there is no checkpoint or it is damaged."""
    latest = _latest(folder)
    try:
        state = json.loads((latest / "state.json").read_text())
    except FileNotFoundError:
        raise UsageError(f"{folder}: no checkpoint there") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder}: the checkpoint is damaged: {one_line(error)}") from None
    return state if isinstance(state, dict) else {}


def _read(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    state = json.loads((folder / "state.json").read_text())
    shards = [load_file(shard) for shard in sorted(folder.glob("*.safetensors"))]
    if not isinstance(state, dict) or len(shards) != state.pop("shards", len(shards)):
        raise ValueError("a shard is missing, or state.json is not its own")
    return dequantise(_joined(shards)), state


def _stamp(folder: Path) -> tuple[int, int] | None:
    """A value that changes when a checkpoint is replaced; None if there is none."""
    try:
        status = (folder / "state.json").stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, with the prefix removed."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def averaged(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The networks' tensors, averaged for those that were trained: the weights for a release and for the next stage."""
    return part(tensors, "net.") | part(tensors, "ema.")


def load_into(module: torch.nn.Module, tensors: dict[str, Tensor], prefix: str, where: Path) -> None:
    """Load the tensors called `prefix` + name into `module`; raises UsageError if the checkpoint is of another preset."""
    own = part(tensors, prefix)
    if not own:
        raise UsageError(
            f"{where}: holds averaged weights alone, which a recipe's `init` takes; a run cannot be resumed from it"
        )
    try:
        module.load_state_dict(own)
    except RuntimeError:
        raise UsageError(f"{where}: the checkpoint does not fit this preset; use the recipe it was made with") from None


def _latest(folder: Path) -> Path:
    """The folder, or its previous content if a process was killed between the two renames of `new_folder`."""
    old = beside(folder, "old")
    return old if old.exists() and not folder.exists() else folder


def _shards(tensors: dict[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """Yield one shard at a time: a shard holds copies, and all of them together would double the memory."""
    shard: dict[str, Tensor] = {}
    size = 0
    for name, tensor in tensors.items():
        for piece_name, piece in _pieces(name, tensor.detach().to("cpu")):
            nbytes = piece.nbytes + HEADER_BYTES
            if shard and size + nbytes > SHARD_BYTES:
                yield shard
                shard, size = {}, 0
            shard[piece_name] = piece.clone(memory_format=torch.contiguous_format)
            size += nbytes
    yield shard


def _pieces(name: str, tensor: Tensor) -> list[tuple[str, Tensor]]:
    """The tensor itself, or slices along its first axis that each fit into a shard."""
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
