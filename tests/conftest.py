"""What holds for all tests, and the browser that several share: one process can drive only one."""

from __future__ import annotations

import os
import signal

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: every core has a process of tests already

import pytest
from chromium import CHROMIUM, QUIET

# Started in the background of a script (CI, nohup), Python inherits an ignored SIGINT, and so would every program that a test
# starts and then stops by Ctrl-C: it would never end.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium; the tests are skipped where there is none.

    Of a module, not of the session: were it open while tests elsewhere start processes, one that inherits its pipes could keep it
    from ever closing.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium here: install Debian's package chromium, or set CHROMIUM to its path")
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield chromium
        chromium.close()
