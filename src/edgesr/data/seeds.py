"""Random numbers as a pure function of a seed, a purpose and a number, so that no generator state needs to be saved."""

from __future__ import annotations

import hashlib

import torch


def step_generator(seed: int, purpose: str, step: int) -> torch.Generator:
    """A CPU generator that depends only on these three."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{step}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "little"))
