"""The command on a cluster, its inputs, and what it leaves behind."""

from __future__ import annotations

import random
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import COMMAND
from PIL import Image

pytest.importorskip("ray", reason="the extra ray is not installed")
import pyarrow.parquet as pq
import servers

# On every node: the keys of the object store, which anybody may use, and the password of the SFTP server.
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "disabled",
    "RAY_worker_niceness": "0",
    "RAY_raylet_start_wait_time_s": "120",
    "FSSPEC_SFTP_PASSWORD": servers.PASSWORD,
}
NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}


class TwoNodes:
    """A cluster, and the command that runs on it."""

    def __init__(self, address: str, environment: dict[str, str]) -> None:
        self.address, self.environment = address, environment

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*COMMAND, "batch", *words, "--address", self.address],
            env={**self.environment, "PYTHONFAULTHANDLER": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *words: str, code: int = 0) -> str:
        """Run a command; return what it wrote to standard error."""
        process = self.start(*words)
        try:
            out, written = (stream.decode() for stream in process.communicate(timeout=400))
        except subprocess.TimeoutExpired:  # show where it hangs
            process.send_signal(signal.SIGABRT)
            pytest.fail(process.communicate()[1].decode())
        assert process.returncode == code, written
        assert not out
        assert "Traceback" not in written
        return written


def make_pictures(folder: Path, count: int, *, side: int = 64, broken: int = 0) -> list[Path]:
    """Small pictures in a tree of folders, as PNG and JPEG; some of them are no pictures."""
    choose = random.Random(count)
    noise = np.random.default_rng(count)
    made = []
    for index in range(count):
        path = folder / f"{index % 7}" / f"picture {index}.{'png' if index % 3 else 'jpg'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(noise.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        coarse.resize((side, side - index % 5), Image.Resampling.BICUBIC).save(path)
        made.append(path)
    for path in choose.sample(made, broken):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return made


def ledger(dest: Path) -> list[dict[str, Any]]:
    """All rows of all the files of a ledger, as anybody can read them."""
    return [row for file in sorted((dest / ".edgesr/ledger").glob("*.parquet")) for row in pq.read_table(file).to_pylist()]
