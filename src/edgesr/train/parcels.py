"""Parcels: a checkpoint cut into trips, folders of few and small files for a narrow door between machines, and put together again.

A checkpoint's files are laid end to end and cut at equal lengths, so that no trip goes half empty. Every trip tells of itself in
`trip.json`: which of how many it is, of which checkpoint, and the SHA-256 of each of its files (ours).
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

MB = 1_000_000
TRIP_FILES = 8  # at most, `trip.json` among them
FILE_BYTES = 15_000_000  # at most
MANIFEST = "trip.json"
_MANIFEST_BYTES = 2_000  # of `trip.json` at most, beside the checkpoint's state and the list of its files


@dataclass(frozen=True)
class Trip:
    """What `trip.json` says."""

    index: int  # from 0
    count: int  # trips of this checkpoint
    checkpoint: str  # SHA-256 of all its bytes: trips that share it belong together
    state: dict[str, Any]  # of the checkpoint: step, stage, preset and so on
    layout: dict[str, int]  # name and size of each of the checkpoint's files, in the order in which they lie end to end
    files: dict[str, str]  # name and SHA-256 of each file of this trip, in order


def pack(source: Path, out: Path, *, only_ema: bool = False, half: bool = False, trip_mb: int = 60) -> list[Path]:
    """Cut the checkpoint folder `source` into the trips `out`/trip-00, `out`/trip-01 and so on; return their paths in order.

    A trip has at most 8 files of at most 15 MB each, and `trip_mb` MB (1 to 105) in all. `only_ema` takes the averaged weights
    alone, which is what a release and the next stage need; `half` stores the weights (float32 of two or more dimensions) as
    bfloat16: good enough to release, not to resume bit for bit. The same checkpoint gives the same trips, so that a lost one can
    be packed again. Raises UsageError when there is no such checkpoint or `out` holds trips already, EdgesrError when the disk
    refuses.
    """
    tensors, state = checkpoint.load(source)
    if only_ema and not (tensors := _averaged(tensors)):
        raise UsageError(f"{source}: holds no averaged weights; pack it without --only ema")
    if half:
        tensors = {name: _halved(tensor) for name, tensor in tensors.items()}
    done = [word for word, wanted in (("only ema", only_ema), ("half", half)) if wanted]
    if reduced := sorted({*state.get("reduced", []), *done}):
        state["reduced"] = reduced
    if any(out.glob("trip-*")):
        raise UsageError(f"{out}: holds trips already; choose another folder, or remove them")
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out, prefix=".packing-") as scratch:
            whole = Path(scratch) / "checkpoint"
            whole.mkdir()
            checkpoint.write(whole, tensors, state)
            made = _cut(whole, state, Path(scratch), trip_mb)
            return [folder.rename(out / folder.name) for folder in made]
    except (OSError, SafetensorError) as error:
        raise EdgesrError(f"{out}: cannot write the trips: {one_line(error)}") from None


def unpack(folders: list[Path], target: Path, *, overwrite: bool = False) -> dict[str, Any]:
    """Put the checkpoint folder `target` together from the folders of all its trips, in any order; return its state.

    `target` appears, or is replaced, as a whole. Without `overwrite` only an earlier checkpoint of the same run is replaced,
    and by nothing less complete. Raises UsageError when a trip is missing, damaged or of another checkpoint, or when
    something would be lost; EdgesrError when the disk refuses.
    """
    trips = _all_trips(folders)
    _, first = trips[0]
    _check_target(target, first.state, overwrite=overwrite)
    parts = [part for folder, trip in trips for part in _sound_files(folder, trip)]
    if sum(part.stat().st_size for part in parts) != sum(first.layout.values()):
        raise UsageError(f"{target}: the trips do not add up to a checkpoint; pack it again")
    with checkpoint.replacing(target) as partial:
        _assemble(parts, first.layout, partial)
    return first.state


def _averaged(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """All networks as they are at their best, under the prefix "ema."; a teacher only where it is what was trained."""
    own, moving = checkpoint.averaged(tensors), checkpoint.part(tensors, "ema.")
    return {f"ema.{name}": own[name] for name in own if name in moving or not name.startswith("teacher.")}


def _halved(tensor: Tensor) -> Tensor:
    # Biases, statistics and the optimizer's counts of steps weigh nothing, and are worth their bits.
    return tensor.bfloat16() if tensor.dtype == torch.float32 and tensor.dim() >= 2 else tensor


def _cut(whole: Path, state: dict[str, Any], out: Path, trip_mb: int) -> list[Path]:
    """Write the trips of the checkpoint folder `whole` into `out`; return their folders in order."""
    paths = sorted(whole.iterdir())
    layout = {path.name: path.stat().st_size for path in paths}
    room = trip_mb * MB - _MANIFEST_BYTES - len(json.dumps([state, layout]))
    per_trip = min(TRIP_FILES - 1, math.ceil(room / FILE_BYTES))
    digest = hashlib.sha256()
    files: dict[Path, dict[str, str]] = {}  # of each trip, as in `Trip`
    for number, piece in enumerate(_pieces(paths, min(FILE_BYTES, room // per_trip))):
        folder = out / f"trip-{number // per_trip:02d}"
        folder.mkdir(exist_ok=True)
        name = f"{number:03d}.part"
        (folder / name).write_bytes(piece)
        files.setdefault(folder, {})[name] = hashlib.sha256(piece).hexdigest()
        digest.update(piece)
    for index, folder in enumerate(files):
        trip = Trip(index, len(files), digest.hexdigest(), state, layout, files[folder])
        (folder / MANIFEST).write_text(json.dumps(asdict(trip)), encoding="utf-8")
    return list(files)


def _pieces(paths: Iterable[Path], size: int) -> Iterator[bytes]:
    """The bytes of `paths`, laid end to end, in pieces of `size`; the last one is what is left."""
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


def _assemble(parts: Iterable[Path], layout: dict[str, int], target: Path) -> None:
    """The reverse: write the files of `layout` into `target` from the bytes of `parts`, laid end to end."""
    remaining, held = iter(parts), memoryview(b"")
    for name, size in layout.items():
        with (target / name).open("wb") as file:
            missing = size
            while missing:
                held = held or memoryview(next(remaining).read_bytes())
                piece, held = held[:missing], held[missing:]
                missing -= file.write(piece)


def _all_trips(folders: list[Path]) -> list[tuple[Path, Trip]]:
    """Every trip of one checkpoint once, in order, with its folder; raises UsageError if any is missing or a stranger."""
    found = [(folder, _read_trip(folder)) for folder in folders]
    first_folder, first = found[0]
    for folder, trip in found:
        if trip.checkpoint != first.checkpoint:
            raise UsageError(
                f"{folder}: is of another checkpoint (step {trip.state.get('step')}) than {first_folder} "
                f"(step {first.state.get('step')}); name the trips of one"
            )
    by_index = {trip.index: (folder, trip) for folder, trip in found}
    if absent := [f"trip-{index:02d}" for index in range(first.count) if index not in by_index]:
        raise UsageError(
            f"step {first.state.get('step')} came in {first.count} trips, and these are missing: {', '.join(absent)}; "
            "bring them, or pack that checkpoint again"
        )
    return [by_index[index] for index in range(first.count)]


def _read_trip(folder: Path) -> Trip:
    path = folder / MANIFEST
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        trip = Trip(**{field.name: table[field.name] for field in fields(Trip)})
        kinds = (int, int, str, dict, dict, dict)
        if not all(isinstance(value, kind) for value, kind in zip(astuple(trip), kinds, strict=True)):
            raise ValueError("a field is of the wrong kind")
        if any(Path(name).name != name for name in (*trip.layout, *trip.files)):
            raise ValueError("a file lies outside its folder")
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"{folder}: holds no {MANIFEST}; name the folders trip-00, trip-01 and so on") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path}: damaged, bring this trip again: {one_line(error)}") from None
    return trip


def _sound_files(folder: Path, trip: Trip) -> Iterator[Path]:
    """The files of a trip, in order, each after its bytes proved right."""
    for name, digest in trip.files.items():
        path = folder / name
        try:
            data = path.read_bytes()
        except OSError as error:
            raise UsageError(f"{path}: {one_line(error)}; bring this trip again") from None
        if hashlib.sha256(data).hexdigest() != digest:
            raise UsageError(f"{path}: damaged on the way; bring this trip again")
        yield path


def _check_target(target: Path, state: dict[str, Any], *, overwrite: bool) -> None:
    """Raise UsageError if putting a checkpoint of `state` at `target` would lose anything."""
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
        reason = f"has step {there.get('step')}, later than step {state.get('step')} of the trips"
    elif less:
        reason = f"holds more than the trips (packed with: {', '.join(less)})"
    else:
        return
    raise UsageError(f"{target}: the checkpoint there {reason}; add --overwrite to replace it, or name another folder")
