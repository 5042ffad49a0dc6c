"""Run the command as people do, in a process of its own; or in this one, where its start is not what is tested."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import edgesr
from edgesr import cli

SOURCE = Path(edgesr.__file__).parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(SOURCE), os.environ.get("PYTHONPATH", "")])}
COMMAND = [sys.executable, "-m", "edgesr"]


def edgesr_(*words: str, stdin: bytes = b"", **options: Any) -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run([*COMMAND, *words], input=stdin, capture_output=True, env=ENVIRONMENT, check=False, **options)
    assert b"Traceback" not in done.stderr
    return done


def edgesr_here(*words: str) -> subprocess.CompletedProcess[bytes]:
    """As `edgesr_`, in this process, which has already imported most of what takes seconds."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as error:
        code = cli.main(words)
    assert "Traceback" not in error.getvalue()
    return subprocess.CompletedProcess(words, code, out.getvalue().encode(), error.getvalue().encode())


def error_of(*words: str, code: int = 2, here: bool = False, **options: Any) -> str:
    """Run a command, `here` in this process, that must fail with nothing but one line on standard error; return the line."""
    done = edgesr_here(*words) if here else edgesr_(*words, **options)
    assert (done.returncode, done.stdout) == (code, b"")
    lines = done.stderr.decode().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("edgesr: ")
    return lines[0]
