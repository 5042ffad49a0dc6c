"""The systems that the benchmark compares, one module for each kind, with the protocol in `base`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from typing import NamedTuple

from edgesr.errors import UsageError
from edgesr.evaluate.systems.base import Facts, Loaded, Place, System
from edgesr.evaluate.systems.command import Command
from edgesr.evaluate.systems.folder import Folder
from edgesr.evaluate.systems.interpolation import FILTERS, Interpolation
from edgesr.evaluate.systems.ncnn import PEERS, Ncnn, Peer
from edgesr.evaluate.systems.ours import Ours
from edgesr.evaluate.systems.upscalerjs import SIZES, UpscalerJs

__all__ = ["FORMS", "Facts", "Loaded", "Named", "Place", "System", "parse"]

_WITH_ARGUMENT: dict[str, Callable[[str], System]] = {
    "edgesr": Ours.parse,
    "ncnn": Ncnn,
    "folder": Folder,
    "command": Command.parse,
}
FORMS = (
    "edgesr:PRESET[@ENGINE][:fidelity=F][:precision=P][:sharpness=S]",
    "edgesr:PRESET[@ENGINE]:weights=FILE[:steps=N]",
    *FILTERS,
    *PEERS,
    *(f"upscalerjs-{size}[:DIR]" for size in SIZES),
    "ncnn:PATH",
    "folder:PATH",
    "command:TEMPLATE",
)


class Named(NamedTuple):
    """A system, its name in the tables, and its specification."""

    name: str
    spec: str
    system: System


def parse(text: str) -> Named:
    """Read SYSTEM or NAME=SYSTEM; raises UsageError for an unknown kind of system."""
    label = re.match(r"([\w.+-]+)=(.+)", text, re.DOTALL)
    name, spec = label.groups() if label else (text, text)
    return Named(name, spec, _system(spec))


def _system(spec: str) -> System:
    kind, colon, argument = spec.partition(":")
    if kind in _WITH_ARGUMENT and argument:
        return _WITH_ARGUMENT[kind](argument)
    if kind.startswith("upscalerjs-") and kind.removeprefix("upscalerjs-") in SIZES:
        return UpscalerJs(kind.removeprefix("upscalerjs-"), argument or ".")
    if not colon and kind in FILTERS:
        return Interpolation(kind)
    if not colon and kind in PEERS:
        return Peer(kind)
    known = [re.split(r"[:\[]", form)[0] for form in FORMS]
    near = difflib.get_close_matches(kind, known, 1)
    hint = f"; did you mean {near[0]}?" if near and near[0] != kind else ""
    raise UsageError(f"unknown system '{spec}'{hint}; write one of {', '.join(FORMS)}")
