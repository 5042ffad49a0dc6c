"""What holds for all tests, and the browser that several share: one process can drive only one."""

from __future__ import annotations

import atexit
import json
import os
import re
import shutil
import signal
import tempfile
from importlib import metadata
from pathlib import Path

# What `edgesr bench --choose` stored for this user must not matter, and "auto" has to compute the same on every processor.
_cache = Path(tempfile.mkdtemp(prefix="edgesr-tests-"))
atexit.register(shutil.rmtree, _cache, ignore_errors=True)
(_cache / "edgesr").mkdir()
_exact = {"engine": "onnxruntime", "version": f"onnxruntime {metadata.version('onnxruntime')}", "precision": "fp32"}
(_cache / "edgesr" / "engine.json").write_text(json.dumps(_exact))
os.environ["XDG_CACHE_HOME"] = str(_cache)

if worker := os.environ.get(
    "PYTEST_XDIST_WORKER"
):  # every core has a process of tests: threads of one would only wait for the others'
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(worker.removeprefix("gw")) % len(cores)]})

import pytest
from building import PAGE, build_page, page_is_fresh
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


@pytest.fixture(scope="session")
def built_page(tmp_path_factory):
    """The folder of the built page: built at most once, whatever the number of test processes."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("the page is built with Node and npm, which are not here")
    from filelock import FileLock

    run = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        run = run.parent  # the folder that all processes share
    done = run / "page-is-built"
    with FileLock(run / "page.lock"):
        if not done.exists():
            if not page_is_fresh():
                build_page()
            done.touch()
    return PAGE


# In the order in which they are handed out to processes, before all others: the last file should be a short one, since all other
# processes wait for its end.
LONGEST = (
    *("test_released_weights.py", "test_cluster.py", "test_video.py", "test_evaluate.py", "test_launch.py", "test_formats.py"),
    *("test_other_verbs.py", "test_onnx.py", "test_processes.py", "test_slice.py"),
)


def pytest_configure(config: pytest.Config) -> None:
    """Hand out files in the order of their collection, where xdist would begin with those of the most tests, be they the fastest."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


SKIPS = Path(__file__).with_name("skips.txt")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A run with a skip that skips.txt does not allow fails; with several processes the controlling one judges for all."""
    config = session.config
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or hasattr(config, "workerinput"):
        return
    lines = SKIPS.read_text(encoding="utf-8").splitlines()
    allowed = [re.compile(line) for line in lines if line and not line.startswith("#")]
    reasons = {str(report.longrepr[2]).removeprefix("Skipped: ") for report in reporter.stats.get("skipped", [])}
    if strange := sorted(reason for reason in reasons if not any(pattern.search(reason) for pattern in allowed)):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter.write_line("")
        reporter.write_line(f"skipped for a reason that {SKIPS.name} does not allow: {'; '.join(strange)}", red=True)
