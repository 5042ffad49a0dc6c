"""In which precision the networks compute: bfloat16 where the hardware has it, else float32; how this is found out (ours)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from edgesr.errors import UsageError

Precision = Literal["auto", "float32", "bfloat16"]
AMPERE = 8  # the first compute capability of CUDA whose tensor cores take bfloat16


class Chosen(NamedTuple):
    """A precision and why it was taken."""

    precision: Literal["float32", "bfloat16"]
    reason: str

    @property
    def dtype(self) -> torch.dtype:
        """Of operands under autocast."""
        return torch.bfloat16 if self.precision == "bfloat16" else torch.float32

    def autocast(self, device: torch.device) -> torch.autocast:
        """Mixed precision, or a context that does nothing."""
        return torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bfloat16")


def choose_precision(wanted: Precision, device: torch.device) -> Chosen:
    """Return what `device` computes in where a recipe says `wanted`.

    Raises UsageError where bfloat16 is wanted of a CPU that has to emulate it, which takes many times the time of float32.
    """
    unit = bfloat16_unit(device)
    if wanted == "auto":
        return Chosen("bfloat16", f"by {unit}") if unit else Chosen("float32", f"no fast bfloat16 on this {device.type}")
    if (
        wanted == "bfloat16" and device.type == "cpu" and not unit and not cpu_abilities().get("bf16")
    ):  # of ARM: not known to be fast
        raise UsageError(
            "recipe: precision = 'bfloat16' needs a CPU with AVX512_BF16 or AMX; this one has neither: set it to 'auto' or 'float32'"
        )
    return Chosen(wanted, "as the recipe says")


def bfloat16_unit(device: torch.device) -> str:
    """Return the name of what is known to make fast products of bfloat16 on `device`; "" where nothing is."""
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        return f"compute capability {major}.{minor}" if major >= AMPERE else ""
    if device.type == "cpu":
        abilities = cpu_abilities()
        return next((name for key, name in (("amx_bf16", "AMX"), ("avx512_bf16", "AVX512_BF16")) if abilities.get(key)), "")
    return ""


def cpu_abilities() -> Mapping[str, Any]:
    """Return what this CPU can do, by torch's names, which are those of Linux as well; empty where neither tells."""
    if hasattr(torch.cpu, "get_capabilities"):
        return torch.cpu.get_capabilities()
    try:
        return dict.fromkeys(Path("/proc/cpuinfo").read_text(encoding="utf-8").split(), True)
    except OSError:
        return {}
