"""The precision of the networks: bfloat16 if the hardware supports it, else float32, and the detection of that support."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from edgesr.errors import UsageError

Precision = Literal["auto", "float32", "bfloat16"]
AMPERE = 8  # the first CUDA compute capability whose tensor cores support bfloat16


class Chosen(NamedTuple):
    """A precision and the reason for it."""

    precision: Literal["float32", "bfloat16"]
    reason: str

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of operands under autocast."""
        return torch.bfloat16 if self.precision == "bfloat16" else torch.float32

    def autocast(self, device: torch.device) -> torch.autocast:
        """A context of mixed precision, or one that does nothing."""
        return torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bfloat16")


def choose_precision(wanted: Precision, device: torch.device) -> Chosen:
    """Return the precision on `device` for the recipe's setting `wanted`.

    Raises UsageError if bfloat16 is requested on a CPU that has to emulate it, which is many times slower than float32.
    """
    unit = bfloat16_unit(device)
    if wanted == "auto":
        return Chosen("bfloat16", f"by {unit}") if unit else Chosen("float32", f"no fast bfloat16 on this {device.type}")
    if (
        wanted == "bfloat16" and device.type == "cpu" and not unit and not cpu_abilities().get("bf16")
    ):  # ARM: not known to be fast
        raise UsageError(
            "recipe: precision = 'bfloat16' needs a CPU with AVX512_BF16 or AMX; this one has neither: set it to 'auto' or 'float32'"
        )
    return Chosen(wanted, "as the recipe says")


def bfloat16_unit(device: torch.device) -> str:
    """Return the name of the unit known to compute bfloat16 products fast on `device`; "" if there is none."""
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        return f"compute capability {major}.{minor}" if major >= AMPERE else ""
    if device.type == "cpu":
        abilities = cpu_abilities()
        return next((name for key, name in (("amx_bf16", "AMX"), ("avx512_bf16", "AVX512_BF16")) if abilities.get(key)), "")
    return ""


def cpu_abilities() -> Mapping[str, Any]:
    """Return this CPU's features by torch's names, which Linux uses too; empty if neither reports them."""
    if hasattr(torch.cpu, "get_capabilities"):
        return torch.cpu.get_capabilities()
    try:
        return dict.fromkeys(Path("/proc/cpuinfo").read_text(encoding="utf-8").split(), True)
    except OSError:
        return {}
