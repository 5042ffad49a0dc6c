"""What a visitor does: starts a server, drops files on the page, waits, saves what came of it."""

from __future__ import annotations

import contextlib
import io
import subprocess
from pathlib import Path

import numpy as np
from command_line import COMMAND, ENVIRONMENT
from PIL import Image


@contextlib.contextmanager
def serving(*words, environment=None):
    """`edgesr serve` in a process of its own; yields its address and the process."""
    command = [*COMMAND, "serve", "--port", "0", *words]
    env = ENVIRONMENT | (environment or {})
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        told = next((line for line in process.stderr if "http://" in line), None)
        assert told is not None, "the server did not start"
        try:
            yield told.split()[1], process
        finally:
            process.terminate()
            process.communicate(timeout=30)


def drop(page, *files):
    """Give the page files, (name, type, bytes) each, as the picker does."""
    page.set_input_files("#files", [{"name": name, "mimeType": kind, "buffer": data} for name, kind, data in files])


def states(page):
    return page.eval_on_selector_all("#queue li", "lines => lines.map(line => line.dataset.state)")


def wait_for_states(page, *wanted):
    expression = "wanted => [...document.querySelectorAll('#queue li')].map(l => l.dataset.state).join() === wanted"
    page.wait_for_function(expression, arg=",".join(wanted))


def saved(page, line=0):
    """The file that the download of a line of the queue gives: its name and bytes."""
    with page.expect_download() as download:
        page.locator("#queue li").nth(line).locator("a[download]").click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def as_file(pixels, format="PNG", **options):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format, **options)
    return stream.getvalue()


def pixels_of(data):
    return np.asarray(Image.open(io.BytesIO(data)))
