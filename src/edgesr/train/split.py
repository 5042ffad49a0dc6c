"""Split a checkpoint into size-limited parts, folders of a few small files, and join them again.

A checkpoint's files are concatenated and cut at equal lengths, so that all parts but the last are full. The `part.json` of each part holds
its index, the number of parts, the SHA-256 of the checkpoint, and the SHA-256 of each of its files.
"""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from edgesr.errors import EdgesrError, UsageError, one_line
from edgesr.model import checkpoint
from edgesr.model.quantised import quantise

MB = 1_000_000
PART_FILES = 8  # at most, including `part.json`
FILE_BYTES = 15_000_000  # at most
MANIFEST = "part.json"
_MANIFEST_BYTES = 2_000  # of `part.json` at most, in addition to the checkpoint's state and the list of its files


@dataclass(frozen=True)
class Part:
    """The content of `part.json`."""

    index: int  # from 0
    count: int  # parts of this checkpoint
    checkpoint: str  # SHA-256 of all its bytes: parts that share it belong together
    state: dict[str, Any]  # of the checkpoint: step, stage, preset and so on
    layout: dict[str, int]  # name and size of each of the checkpoint's files, in the order of concatenation
    files: dict[str, str]  # name and SHA-256 of each file of this part, in order


def pack(
    source: Path, out: Path, *, only_ema: bool = False, half: bool = False, int8: bool = False, part_mb: int = 60
) -> list[Path]:
    """Cut the checkpoint folder `source` into the parts `out`/part-00, `out`/part-01 and so on; return their paths in order.

    A part has at most 8 files of at most 15 MB each, and `part_mb` MB (1 to 105) in all. `only_ema` takes the averaged weights
    alone, which is all that a release and the next stage need; `half` stores the weights (float32 of two or more dimensions) as
    bfloat16, which is sufficient for a release but not for resuming bit for bit; `int8` stores them in 8 bits with a scale per 64.
    The same checkpoint gives the same parts, so that a lost one can be packed again. Raises UsageError if there is no such checkpoint
    or `out` already holds parts, EdgesrError if a write fails.
    """
    tensors, state = checkpoint.load(source)
    if only_ema and not (tensors := _averaged(tensors)):
        raise UsageError(f"{source}: holds no averaged weights; pack it without --only ema")
    if half:
        tensors = {name: _halved(tensor) for name, tensor in tensors.items()}
    if int8:
        tensors = quantise(tensors)
    done = [word for word, wanted in (("only ema", only_ema), ("half", half), ("int8", int8)) if wanted]
    if reduced := sorted({*state.get("reduced", []), *done}):
        state["reduced"] = reduced
    if any(out.glob("part-*")):
        raise UsageError(f"{out}: holds parts already; choose another folder, or remove them")
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out, prefix=".packing-") as scratch:
            whole = Path(scratch) / "checkpoint"
            whole.mkdir()
            checkpoint.write(whole, tensors, state)
            made = _cut(whole, state, Path(scratch), part_mb)
            return [folder.rename(out / folder.name) for folder in made]
    except (OSError, SafetensorError) as error:
        raise EdgesrError(f"{out}: cannot write the parts: {one_line(error)}") from None


def unpack(folders: list[Path], target: Path, *, overwrite: bool = False) -> dict[str, Any]:
    """Join the folders of all parts, in any order, into the checkpoint folder `target`; return its state.

    `target` is written or replaced atomically. Without `overwrite`, only an earlier checkpoint of the same run is replaced, and
    not by a less complete one. Raises UsageError if a part is missing, damaged or of another checkpoint, or if something would
    be lost; EdgesrError if a write fails.
    """
    parts = _all_parts(folders)
    _, first = parts[0]
    _check_target(target, first.state, overwrite=overwrite)
    pieces = [piece for folder, part in parts for piece in _sound_files(folder, part)]
    if sum(piece.stat().st_size for piece in pieces) != sum(first.layout.values()):
        raise UsageError(f"{target}: the parts do not add up to the checkpoint; pack it again")
    with checkpoint.replacing(target) as partial:
        _assemble(pieces, first.layout, partial)
    return first.state


def _averaged(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """All networks, averaged where available, under the prefix "ema."; a teacher only if it was trained."""
    own, moving = checkpoint.averaged(tensors), checkpoint.part(tensors, "ema.")
    return {f"ema.{name}": own[name] for name in own if name in moving or not name.startswith("teacher.")}


def _halved(tensor: Tensor) -> Tensor:
    # Biases, statistics and the optimizer's step counts are small, and need full precision.
    return tensor.bfloat16() if tensor.dtype == torch.float32 and tensor.dim() >= 2 else tensor


def _cut(whole: Path, state: dict[str, Any], out: Path, part_mb: int) -> list[Path]:
    """Write the parts of the checkpoint folder `whole` into `out`; return their folders in order."""
    paths = sorted(whole.iterdir())
    layout = {path.name: path.stat().st_size for path in paths}
    room = part_mb * MB - _MANIFEST_BYTES - len(json.dumps([state, layout]))
    per_part = min(PART_FILES - 1, math.ceil(room / FILE_BYTES))
    digest = hashlib.sha256()
    files: dict[Path, dict[str, str]] = {}  # of each part, as in `Part`
    for number, piece in enumerate(_pieces(paths, min(FILE_BYTES, room // per_part))):
        folder = out / f"part-{number // per_part:02d}"
        folder.mkdir(exist_ok=True)
        name = f"{number:03d}.piece"
        (folder / name).write_bytes(piece)
        files.setdefault(folder, {})[name] = hashlib.sha256(piece).hexdigest()
        digest.update(piece)
    for index, folder in enumerate(files):
        part = Part(index, len(files), digest.hexdigest(), state, layout, files[folder])
        (folder / MANIFEST).write_text(json.dumps(asdict(part)), encoding="utf-8")
    return list(files)


def _pieces(paths: Iterable[Path], size: int) -> Iterator[bytes]:
    """The concatenated bytes of `paths`, in pieces of `size`; the last one may be shorter."""
    held = bytearray()
    for path in paths:
        with path.open("rb") as file:
            while more := file.read(size - len(held)):
                held += more
                if len(held) == size:
                    yield bytes(held)
                    held.clear()
    if held:
        yield bytes(held)


def _assemble(pieces: Iterable[Path], layout: dict[str, int], target: Path) -> None:
    """The reverse: write the files of `layout` into `target` from the concatenated bytes of `pieces`."""
    remaining, held = iter(pieces), memoryview(b"")
    for name, size in layout.items():
        with (target / name).open("wb") as file:
            missing = size
            while missing:
                held = held or memoryview(next(remaining).read_bytes())
                taken, held = held[:missing], held[missing:]
                missing -= file.write(taken)


def _all_parts(folders: list[Path]) -> list[tuple[Path, Part]]:
    """Every part of one checkpoint, in order, with its folder; raises UsageError if one is missing or of another checkpoint."""
    found = [(folder, _read_part(folder)) for folder in folders]
    first_folder, first = found[0]
    for folder, part in found:
        if part.checkpoint != first.checkpoint:
            raise UsageError(
                f"{folder}: is of another checkpoint (step {part.state.get('step')}) than {first_folder} "
                f"(step {first.state.get('step')}); name the parts of one"
            )
    by_index = {part.index: (folder, part) for folder, part in found}
    if absent := [f"part-{index:02d}" for index in range(first.count) if index not in by_index]:
        raise UsageError(
            f"step {first.state.get('step')} was split into {first.count} parts, and these are missing: {', '.join(absent)}; "
            "copy them here, or pack that checkpoint again"
        )
    return [by_index[index] for index in range(first.count)]


def _read_part(folder: Path) -> Part:
    path = folder / MANIFEST
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        part = Part(**{field.name: table[field.name] for field in fields(Part)})
        kinds = (int, int, str, dict, dict, dict)
        if not all(isinstance(value, kind) for value, kind in zip(astuple(part), kinds, strict=True)):
            raise ValueError("a field is of the wrong kind")
        if any(Path(name).name != name for name in (*part.layout, *part.files)):
            raise ValueError("a file lies outside its folder")
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"{folder}: holds no {MANIFEST}; name the folders part-00, part-01 and so on") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path}: damaged; copy this part again: {one_line(error)}") from None
    return part


def _sound_files(folder: Path, part: Part) -> Iterator[Path]:
    """The files of a part, in order, each yielded after its hash was checked."""
    for name, digest in part.files.items():
        path = folder / name
        try:
            data = path.read_bytes()
        except OSError as error:
            raise UsageError(f"{path}: {one_line(error)}; copy this part again") from None
        if hashlib.sha256(data).hexdigest() != digest:
            raise UsageError(f"{path}: damaged in transfer; copy this part again")
        yield path


def _check_target(target: Path, state: dict[str, Any], *, overwrite: bool) -> None:
    """Raise UsageError if replacing `target` by a checkpoint of `state` would lose anything."""
    if target.exists():
        content = [path.name for path in target.iterdir()] if target.is_dir() else ["a file"]
        if any(name != "state.json" and not name.endswith(".safetensors") for name in content):
            raise UsageError(f"{target}: is not a checkpoint; name a folder that is one, or a new one")
        if not content:
            return
    if overwrite or not checkpoint.exists(target):
        return
    there = checkpoint.load_state(target)
    less = [word for word in state.get("reduced", []) if word not in there.get("reduced", [])]
    if any(there.get(field) != state.get(field) for field in ("preset", "stage")):
        reason = f"is of another run ({there.get('preset')} {there.get('stage')})"
    elif there.get("step", 0) > state.get("step", 0):
        reason = f"has step {there.get('step')}, later than step {state.get('step')} of the parts"
    elif less:
        reason = f"holds more than the parts (packed with: {', '.join(less)})"
    else:
        return
    raise UsageError(f"{target}: the checkpoint there {reason}; add --overwrite to replace it, or name another folder")
