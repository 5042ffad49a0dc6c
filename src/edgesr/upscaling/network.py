"""Load the network of a model into an engine: the released weights, or the user's own, which are tested first."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edgesr import onnx_metadata
from edgesr.errors import EdgesrError, UsageError, one_line
from edgesr.presets import (
    LATENT_STRIDE,
    PRESETS,
    SCALE,
    Preset,
    difference_path,
    get_preset,
    int8_path,
    weights_path,
    weights_version,
)
from edgesr.upscaling import checksums, forms
from edgesr.upscaling.checks import MIN_TILE
from edgesr.upscaling.engines import load_engine, select
from edgesr.upscaling.engines.base import Engine
from edgesr.upscaling.fit import fit

BLENDED_TILE, BLENDED_OVERLAP = 128, 32  # LR px, the paper's: 25 tiles for 512x512


class Network(NamedTuple):
    """A network that is ready to run."""

    preset: Preset  # with the latent channels of the weights
    engine: Engine
    least_side: int  # LR px of a window: 1, or the fixed tile size of the weights
    precision: str  # fp32, bf16 or int8


def load(
    model: str,
    fidelity: float,
    *,
    engine: str,
    precision: str,
    threads: int | None,
    weights: str | Path | None,
    steps: int,
    blended: bool,
) -> Network:
    """Load the released weights of `model`, or `weights`; `blended` says whether tiles will be blended. Raises as `Upscaler`."""
    preset = get_preset(model)
    folder = model_folder(model, weights)
    if weights is None or folder is not None:
        source = _released(model, folder)
        engine, precision = _select_for_released(model, folder, fidelity, engine, precision)
        chosen = int8_path(model, folder, fidelity=fidelity == 1) if precision == "int8" else source
        with resources.as_file(chosen) as path:
            checksums.check(path, installed=folder is None)
            form = path if precision == "int8" else _form(model, folder, path, fidelity)
            loaded = load_engine(engine, form, threads, steps, precision)
        network = _fitted(preset, loaded, chosen.name, precision, blended=blended)
        if folder is not None:
            _try(network, folder, BLENDED_TILE if blended or preset.halo is None else MIN_TILE)
        return network
    own = _own(weights, fidelity)
    engine, precision = _select_for_own(own, engine, precision)
    loaded = load_engine(engine, own, threads, steps, precision)
    network = _fitted(preset, loaded, weights, precision, blended=blended)
    _try(network, weights, BLENDED_TILE if blended or preset.halo is None else MIN_TILE)
    return network


def model_folder(model: str, weights: str | Path | None) -> Path | None:
    """Return `weights` as a path if it is a folder with the released files of `model`, as the package has them; else None."""
    if not isinstance(weights, str | os.PathLike) or not (folder := Path(weights)).is_dir():
        return None
    return folder if weights_path(model, folder).is_file() else None


def _released(model: str, folder: Path | None) -> resources.abc.Traversable:
    source = weights_path(model, folder)
    if not source.is_file():
        have = ", ".join(name for name in PRESETS if weights_path(name).is_file())
        raise UsageError(f"the model '{model}' has no released weights yet; available: {have}")
    return source


def _select_for_released(model: str, folder: Path | None, fidelity: float, engine: str, precision: str) -> tuple[str, str]:
    """Engine and precision for the released weights, which exist in 8 bits for the two forms, not for mixtures."""
    if precision == "int8" and fidelity not in (0, 1):
        raise UsageError(f"fidelity {fidelity:g}: weights in 8 bits cannot be mixed: use 0 or 1, or --precision fp32")
    path = int8_path(model, folder, fidelity=fidelity == 1)
    found = select(engine, precision, int8=fidelity in (0, 1) and path.is_file())
    if found[1] != "int8":
        return found
    try:
        version = onnx_metadata.read(path.read_bytes()).get("version")
    except ValueError:  # damaged: reported when it is loaded
        return found
    if version == weights_version(model, folder):
        return found
    if precision == "int8":
        raise EdgesrError(
            f"{path.name}: has version {version}, not that of {model}.onnx: {_remedy(folder)}, or use --precision fp32"
        )
    return select(engine, precision, int8=False)


def _select_for_own(path: Path, engine: str, precision: str) -> tuple[str, str]:
    """Engine and precision for the user's own weights, whose file says whether it is in 8 bits."""
    if path.is_dir():
        return select("torch" if engine == "auto" else engine, precision, int8=False)
    in_int8 = _is_int8(path)
    if in_int8 and precision not in ("auto", "int8"):
        select(engine, precision, int8=True)  # an unknown precision is reported first
        raise UsageError(f"precision {precision}: {path} is in 8 bits: omit --precision, or give a file in float32")
    if not in_int8 and precision == "int8":
        raise UsageError(f"precision int8: {path} is not in 8 bits: make such a file by edgesr export --precision int8")
    return select(engine, "int8", int8=True) if in_int8 else select(engine, precision, int8=False)


def _is_int8(path: Path) -> bool:
    try:
        return b"QuantizeLinear" in path.read_bytes()
    except OSError:  # reported when it is loaded
        return False


def _own(weights: str | Path, fidelity: float) -> Path:
    if fidelity:
        raise UsageError(f"fidelity {fidelity:g}: your own weights have one form only; omit fidelity")
    if not isinstance(weights, str | os.PathLike):
        raise UsageError(f"weights: give the path of an ONNX file, not a {type(weights).__name__}")
    if not (path := Path(weights)).exists():
        raise UsageError(f"{weights}: no such file")
    return path


def _remedy(folder: Path | None) -> str:
    return "reinstall edgesr" if folder is None else "download the folder again"


def _form(model: str, folder: Path | None, path: Path, fidelity: float) -> Path | bytes:
    """The ONNX file at `path` as it is, or its bytes with the weights moved towards the fidelity form."""
    if fidelity == 0:
        return path
    difference = difference_path(model, folder)
    if not difference.is_file():
        raise UsageError(f"fidelity {fidelity:g}: the model '{model}' has one form only; omit fidelity")
    with resources.as_file(difference) as beside:
        checksums.check(beside, installed=folder is None)
        return forms.interpolate(path, beside, fidelity)


def _fitted(preset: Preset, engine: Engine, name: str | Path, precision: str, *, blended: bool) -> Network:
    """The network, if its weights fit the preset and the plan of tiles."""
    channels, tile = fit(preset, engine.contents, name)
    preset = preset.with_latent_channels(channels)
    if tile is None:
        return Network(preset, engine, 1, precision)
    if tile != (BLENDED_TILE, BLENDED_TILE):
        size = f"{BLENDED_TILE}x{BLENDED_TILE}" if preset.halo is None else "dynamic"
        raise UsageError(f"{name}: only takes tiles of {tile[0]}x{tile[1]} px; export it with --size {size}")
    if preset.halo is not None and not blended:
        raise UsageError(
            f"{name}: only takes tiles of {tile[0]}x{tile[1]} px; use --tile blended, or export it with --size dynamic"
        )
    return Network(preset, engine, BLENDED_TILE, precision)


def _try(network: Network, weights: str | Path, side: int) -> None:
    """Raise EdgesrError if the network fails on a tile of `side` LR px, or its output has the wrong shape or is not finite."""
    preset, latent = network.preset, side // LATENT_STRIDE
    wrong = f"{weights}: not a network of the model '{preset.name}'"
    try:
        hr = network.engine(
            np.zeros((1, 3, side, side), np.float32), np.zeros((1, preset.latent_channels, latent, latent), np.float32)
        )
    except MemoryError:
        raise
    except Exception as error:  # the engines' exceptions share no base class
        raise EdgesrError(f"{wrong}: {one_line(error)}") from None
    if np.shape(hr) != (1, 3, SCALE * side, SCALE * side):
        shape = "x".join(str(length) for length in np.shape(hr))
        raise EdgesrError(f"{wrong}: its output is {shape} for an input of 1x3x{side}x{side}")
    if not np.isfinite(hr).all():
        raise EdgesrError(f"{weights}: its output is not finite: the weights are damaged, or the training diverged")
