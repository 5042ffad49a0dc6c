"""Systems in processes of their own: a crash, a hang, an error and their memory are theirs alone."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
from command_line import ENVIRONMENT
from pictures import photograph
from PIL import Image

from edgesr.evaluate.workers import GIVE_UP, Worker, WorkerError

COPY = "from PIL import Image; Image.open(sys.argv[1]).save(sys.argv[2])"


@pytest.fixture
def lr(tmp_path: Path) -> Path:
    Image.fromarray(photograph(12, 16)).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def worker(tmp_path: Path, text: str, timeout: float = 60) -> Worker:
    """A worker for a program that runs `text` on an input file sys.argv[1] and an output file sys.argv[2]."""
    script = tmp_path / "tool.py"
    script.write_text(f"import os, signal, sys, time\n{text}\n")
    return Worker(f"command:{shlex.quote(sys.executable)} {shlex.quote(str(script))} {{input}} {{output}}", 1, timeout)


@pytest.fixture
def started() -> Callable[[], list[psutil.Process]]:
    """A function that lists the processes that a test started and that still run."""

    def running() -> list[psutil.Process]:
        return [each for each in psutil.Process().children(recursive=True) if each.status() != psutil.STATUS_ZOMBIE]

    before = running()
    return lambda: [each for each in running() if each not in before]


def test_a_picture_is_made_and_measured(lr, tmp_path, started):
    bicubic = Worker("bicubic", 1, 60)
    measured = bicubic.upscale(lr, "suite", "a.png", tmp_path / "out.png")
    assert 0 < measured["seconds"] < 5
    pixels = Image.fromarray(photograph(12, 16)).resize((64, 48), Image.Resampling.BICUBIC)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out.png")), np.asarray(pixels))
    bicubic.close()
    assert started() == []


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is told by Linux alone")
def test_the_memory_of_the_benchmark_is_not_the_systems(lr, tmp_path):
    ballast = np.ones(400_000_000 // 8)
    bicubic = Worker("bicubic", 1, 60)
    assert 10 < bicubic.upscale(lr, "suite", "a.png", tmp_path / "out.png")["peak_rss_mb"] < 200
    bicubic.close()
    assert ballast.sum() > 0


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is told by Linux alone")
@pytest.mark.parametrize(
    ("program", "least", "most"),
    [
        ("sleep 0.3; cp {input} {output}", 0.5, 15),  # less than the process that starts it
        ("cp {input} {output}; exec python -c 'import time; ballast = bytearray(150_000_000); time.sleep(0.1)'", 150, 200),
        ("cp {input} {output}; python -c 'ballast = bytes(80_000_000) * 2; print()'; true", 160, 280),
    ],
)
def test_the_memory_of_a_program_is_its_own(lr, tmp_path, program, least, most):
    text = shlex.quote(program.replace("python", shlex.quote(sys.executable)))
    tool = Worker(f"command:sh -c {text}", 1, 60)
    assert least < tool.upscale(lr, "suite", "a.png", tmp_path / "out.png")["peak_rss_mb"] < most
    tool.close()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores cannot be chosen here")
def test_a_program_with_many_threads_gets_the_cores_that_all_get(lr, tmp_path):
    tool = worker(tmp_path, f"{COPY}; open(sys.argv[0] + '.cores', 'w').write(str(len(os.sched_getaffinity(0))))")
    tool.upscale(lr, "suite", "a.png", tmp_path / "out.png")
    tool.close()
    assert (tmp_path / "tool.py.cores").read_text() == "1"


def test_an_error_is_told_and_the_next_picture_is_made(lr, tmp_path):
    tool = worker(tmp_path, f"if not os.path.exists('{tmp_path}/second'): sys.exit('out of memory')\n{COPY}")
    with pytest.raises(WorkerError, match="ended with code 1: out of memory"):
        tool.upscale(lr, "suite", "a.png", tmp_path / "out.png")
    assert not (tmp_path / "out.png").exists()
    (tmp_path / "second").touch()
    tool.upscale(lr, "suite", "a.png", tmp_path / "out.png")
    tool.close()


def test_a_system_that_takes_no_small_pictures_makes_the_first_as_any_other(lr, tmp_path):
    Image.fromarray(photograph(40, 40)).save(lr)
    tool = worker(tmp_path, f"from PIL import Image\nif Image.open(sys.argv[1]).width < 40: sys.exit('too small')\n{COPY}")
    assert tool.upscale(lr, "suite", "a.png", tmp_path / "out.png")["seconds"] > 0
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out.png")), photograph(40, 40))
    tool.close()


@pytest.mark.skipif(os.name == "nt", reason="signals are for Unix")
def test_a_crash_is_told_and_the_next_picture_is_made(lr, tmp_path):
    tool = worker(tmp_path, f"if not os.path.exists('{tmp_path}/second'): os.kill(os.getppid(), signal.SIGSEGV)\n{COPY}")
    with pytest.raises(WorkerError, match=r"crashed \(signal 11, Segmentation fault\)"):
        tool.upscale(lr, "suite", "a.png", tmp_path / "out.png")
    (tmp_path / "second").touch()
    assert tool.upscale(lr, "suite", "a.png", tmp_path / "out.png")["seconds"] > 0
    tool.close()


def test_a_hang_is_ended_with_all_that_it_started(lr, tmp_path, started, monkeypatch):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    note = f"import tempfile; open({str(tmp_path / 'note')!r}, 'w').write(tempfile.mkdtemp() + ' ' + sys.argv[1])"
    tool = worker(tmp_path, f"{note}; time.sleep(600)", timeout=3)
    start = time.monotonic()
    with pytest.raises(WorkerError, match=r"no result after 3 s \(--timeout\)"):
        tool.upscale(lr, "suite", "a.png", tmp_path / "out.png")
    assert time.monotonic() - start < 30
    deadline = time.monotonic() + 5
    while started() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert started() == []
    own, given = map(Path, (tmp_path / "note").read_text().split())
    assert temporary in own.parents
    assert temporary in given.parents
    assert list(temporary.iterdir()) == []  # of the program's files, and of those that it was given


def test_a_system_that_always_hangs_is_given_up(lr, tmp_path):
    tool = worker(tmp_path, "time.sleep(600)", timeout=0.01)
    for _ in range(GIVE_UP):
        with pytest.raises(WorkerError, match="no result"):
            tool.upscale(lr, "suite", "a.png", tmp_path / "out.png")
    start = time.monotonic()
    with pytest.raises(WorkerError, match="not run: 3 pictures in a row crashed or timed out"):
        tool.upscale(lr, "suite", "a.png", tmp_path / "out.png")
    assert time.monotonic() - start < 0.1


def test_a_system_that_cannot_be_loaded_says_why_once_and_for_all(lr, tmp_path, started):
    absent = Worker("edgesr:paper", 1, 60)
    for _ in range(2):
        with pytest.raises(WorkerError, match="cannot be loaded: the model 'paper' has no released weights"):
            absent.upscale(lr, "suite", "a.png", tmp_path / "out.png")
    assert started() == []


@pytest.mark.skipif(os.name == "nt", reason="signals are for Unix")
def test_a_worker_ends_with_the_benchmark(lr, tmp_path):
    """Which is killed while the worker waits for its turn."""
    program = (
        "import sys, time; from pathlib import Path; from edgesr.evaluate.workers import Worker\n"
        f"made = Worker('bicubic', 1, 60); made.upscale(Path({str(lr)!r}), 'suite', 'a.png', Path({str(tmp_path / 'out.png')!r}))\n"
        "print(made._process.pid, made._folder, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as benchmark:
        pid, folder = benchmark.stdout.readline().split()
        suspended = psutil.Process(int(pid))
        assert Path(folder).is_dir()
        benchmark.kill()
    suspended.wait(10)
    deadline = time.monotonic() + 10
    while Path(folder).exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(folder).exists()


@pytest.mark.skipif(sys.platform != "linux", reason="processes are suspended on Linux alone")
def test_a_system_that_spins_takes_no_time_while_others_have_their_turn(lr, tmp_path, started):
    """Here a thread of its own that never rests, as those of runtimes do for a while."""
    text = COPY + "\nif os.fork() == 0:\n    os.closerange(0, 3)\n    while True: pass"
    spinning = worker(tmp_path, text)
    spinning.upscale(lr, "suite", "a.png", tmp_path / "out.png")
    deadline = time.monotonic() + 20
    while any(each.status() == psutil.STATUS_RUNNING for each in started()) and time.monotonic() < deadline:
        time.sleep(0.05)

    def spent() -> float:
        return sum(sum(each.cpu_times()[:2]) for each in started())

    before = spent()
    assert before > 0
    time.sleep(1)
    assert spent() - before < 0.1
    spinning.upscale(lr, "suite", "a.png", tmp_path / "again.png")  # it goes on when its turn comes
    spinning.close()
    assert started() == []
