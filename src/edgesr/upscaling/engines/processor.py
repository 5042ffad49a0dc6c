"""What the processor can compute with, as the operating system states it."""

from __future__ import annotations

import platform
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

# For each ability, the names under which Linux (x86, Arm) and macOS list it; any of them provides it.
_FLAGS = {
    "dot product": {"avx512_vnni", "avx_vnni", "asimddp", "FEAT_DotProd"},  # of 8-bit numbers, summed in 32 bits
    "bfloat16": {"avx512_bf16", "amx_bf16", "bf16", "FEAT_BF16"},
    "matrix bfloat16": {"amx_bf16"},
}
_CPUINFO = Path("/proc/cpuinfo")


def has(ability: str) -> bool | None:
    """Return whether the processor has an ability, a key of the table; None where the system does not say, as on Windows."""
    flags = _flags()
    return None if flags is None else bool(flags & _FLAGS[ability])


def is_x86() -> bool:
    """Return whether this is an x86 processor."""
    return platform.machine().lower() in ("x86_64", "amd64", "i386", "i686")


@lru_cache(maxsize=1)
def _flags() -> frozenset[str] | None:
    if sys.platform == "darwin":
        listed = subprocess.run(["/usr/sbin/sysctl", "hw.optional"], capture_output=True, text=True, check=False).stdout
        pairs = (line.rpartition(": ") for line in listed.splitlines())
        return frozenset(
            name.rpartition(".")[2].replace("avx512vnni", "avx512_vnni") for name, _, value in pairs if value == "1"
        )
    try:
        lines = _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    stated = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return frozenset(stated.partition(":")[2].split()) or None
