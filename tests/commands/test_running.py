"""The run over a batch: what fails fails alone and early, and memory does not grow with the number of pictures."""

from __future__ import annotations

import gc
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from PIL import Image

from edgesr import images
from edgesr.commands import running
from edgesr.commands.jobs import Job, plan
from edgesr.commands.running import Result, Settings, run
from edgesr.errors import UsageError
from edgesr.images.bands import Bands
from edgesr.upscaling.upscaler import Upscaler


@pytest.fixture(scope="module")
def upscaler() -> Upscaler:
    return Upscaler("tiny", threads=1)


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def make(name: str, width: int = 16, height: int = 12) -> str:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(name)
    return name


def fails_before_computing(job: Job, upscaler: Upscaler, settings: Settings) -> str:
    fractions: list[float] = []
    (result,) = run([job], upscaler, settings, lambda _, fraction: fractions.append(fraction))
    assert result.status == "failed"
    assert max(fractions) == 0.0
    return str(result.error)


def test_a_bad_file_among_good_ones_fails_alone(upscaler: Upscaler) -> None:
    Path("bad.png").write_text("no picture")
    jobs = plan([make("a.png"), "bad.png", "gone.png", make("b.jpg")], out="out")
    results = {result.input: result for result in run(jobs, upscaler, Settings())}
    assert {name: result.status for name, result in results.items()} == {
        "a.png": "done", "bad.png": "failed", "gone.png": "failed", "b.jpg": "done",
    }  # fmt: skip
    assert "bad.png" in str(results["bad.png"].error)
    assert results["gone.png"] == Result("gone.png", None, "failed", "no such file or folder")
    assert (results["a.png"].width, results["a.png"].height) == (64, 48)
    assert sorted(path.name for path in Path("out").iterdir()) == ["a_4x.png", "b_4x.jpg"]
    assert Image.open("out/b_4x.jpg").size == (64, 48)


def test_sizes_follow_the_settings(upscaler: Upscaler) -> None:
    make("a.png")
    for settings, size in [
        (Settings(scale=2.5), (40, 30)),
        (Settings(width=32), (32, 24)),
        (Settings(height=48), (64, 48)),
    ]:
        (result,) = run([Job(Path("a.png"), Path(f"{size[0]}.png"))], upscaler, settings)
        assert result.status == "done"
        assert Image.open(f"{size[0]}.png").size == size


def test_an_existing_result_needs_a_flag_and_is_seen_before_the_input_is_opened(upscaler: Upscaler) -> None:
    Path("a.png").write_text("no picture")
    Path("a_4x.png").write_text("from an earlier run")
    jobs = plan(["a.png"])
    error = fails_before_computing(jobs[0], upscaler, Settings())
    assert "--overwrite" in error
    assert "--skip-existing" in error
    (skipped,) = run(jobs, upscaler, Settings(skip_existing=True))
    assert skipped.status == "skipped"
    assert Path("a_4x.png").read_text() == "from an earlier run"

    make("a.png")
    (done,) = run(jobs, upscaler, Settings(overwrite=True))
    assert done.status == "done"
    assert Image.open("a_4x.png").size == (64, 48)


def test_a_second_run_skips_everything_that_is_there(upscaler: Upscaler) -> None:
    for name in ("album/a.png", "album/a.jpg", "album/x/a.png"):
        make(name)

    def statuses() -> list[str]:
        jobs = plan(["album"], format="PNG", recursive=True)
        return [result.status for result in run(jobs, upscaler, Settings(skip_existing=True))]

    assert statuses() == ["done"] * 3
    make("album/x/b.png")
    assert statuses() == ["skipped", "skipped", "skipped", "done"]


def test_what_another_run_made_meanwhile_is_skipped(upscaler: Upscaler, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = plan([make("a.png"), make("b.png"), make("c.png")])
    original = Upscaler.stream_picture

    def beaten(self: Upscaler, picture: images.Picture, **options: object) -> images.Picture[Bands]:
        Path("b_4x.png").write_text("by another run")
        return original(self, picture, **options)

    monkeypatch.setattr(Upscaler, "stream_picture", beaten)
    results = list(run(jobs, upscaler, Settings(skip_existing=True)))
    assert [result.status for result in results] == ["done", "skipped", "done"]
    assert Path("b_4x.png").read_text() == "by another run"
    Path("b_4x.png").unlink()
    (result,) = run(jobs[1:2], upscaler, Settings())
    assert result.status == "failed"


def test_a_result_that_appears_while_it_is_written_is_skipped(upscaler: Upscaler, monkeypatch: pytest.MonkeyPatch) -> None:
    (job,) = plan([make("a.png")])
    original = os.fsync

    def late(descriptor: int) -> None:
        Path("a_4x.png").write_text("by another run")
        original(descriptor)

    monkeypatch.setattr(os, "fsync", late)
    (result,) = run([job], upscaler, Settings(skip_existing=True))
    assert (result.status, Path("a_4x.png").read_text()) == ("skipped", "by another run")


def test_an_empty_result_is_not_done(upscaler: Upscaler) -> None:
    (job,) = plan([make("a.png")])
    Path("a_4x.png").touch()
    (result,) = run([job], upscaler, Settings())
    assert result.status == "failed"
    (result,) = run([job], upscaler, Settings(skip_existing=True))
    assert result.status == "done"
    assert Image.open("a_4x.png").size == (64, 48)


@pytest.mark.skipif(os.name != "posix", reason="locks as POSIX has them")
def test_what_a_killed_run_left_is_removed_by_the_next(upscaler: Upscaler) -> None:
    from edgesr.atomic import atomic_write

    make("a.png")
    old = time.time() - 3600
    Path(".edgesr-0123456789ab.tmp").touch()
    os.utime(".edgesr-0123456789ab.tmp", (old, old))
    Path(".edgesr-ba9876543210.tmp").touch()  # of a process killed a moment ago
    with atomic_write(Path("mine.png"), overwrite=False) as stream:
        name = stream.name
        os.utime(name, (old, old))
        (result,) = run(plan(["a.png"]), upscaler, Settings())
        assert result.status == "done"
        assert [path.name for path in Path().glob(".edgesr-*")] != []
        assert Path(name).exists()
        stream.write(b"kept")
    assert not list(Path().glob(".edgesr-*"))
    assert Path("mine.png").read_bytes() == b"kept"


@pytest.mark.skipif(os.name != "posix", reason="locks as POSIX has them")
def test_a_new_file_that_another_run_removes_before_its_lock_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    from edgesr import atomic

    lock, removed = atomic.lock, []

    def late(stream: BinaryIO) -> None:
        if not removed:
            removed.append(stream)
            atomic.remove_abandoned(Path())
        lock(stream)

    monkeypatch.setattr(atomic, "lock", late)
    with atomic.atomic_write(Path("mine.png"), overwrite=False) as stream:
        atomic.remove_abandoned(Path())
        stream.write(b"kept")
    assert stream is not removed[0]
    assert Path("mine.png").read_bytes() == b"kept"
    assert not list(Path().glob(".edgesr-*"))


def test_results_over_inputs_fail_even_with_overwrite_and_are_no_loss_when_skipped(upscaler: Upscaler) -> None:
    before = Path(make("a_4x.png")).read_bytes()
    jobs = plan([make("a.png"), "a_4x.png"])
    assert [result.status for result in run(jobs, upscaler, Settings(overwrite=True))] == ["failed", "skipped"]
    assert [result.status for result in run(jobs, upscaler, Settings(skip_existing=True))] == ["skipped", "skipped"]
    assert Path("a_4x.png").read_bytes() == before
    assert sorted(path.name for path in Path().iterdir()) == ["a.png", "a_4x.png"]


def test_places_that_cannot_hold_a_result_fail_before_computing(upscaler: Upscaler) -> None:
    make("a.png")
    make("wide.png", width=4200, height=2)
    Path("file").touch()
    Path("folder.png").mkdir()
    assert "file" in fails_before_computing(Job(Path("a.png"), Path("file/x/a.png")), upscaler, Settings())
    taken = Job(Path("a.png"), Path("folder.png"))
    assert "folder.png" in fails_before_computing(taken, upscaler, Settings(overwrite=True))
    too_wide = Job(Path("wide.png"), Path("wide.webp"))
    assert "WEBP" in fails_before_computing(too_wide, upscaler, Settings())
    long = plan([make("n" * 250 + ".png")])[0]
    assert "too long" in fails_before_computing(long, upscaler, Settings())
    assert "wide.png" in fails_before_computing(Job(Path("wide.png"), Path("b.png")), upscaler, Settings(max_pixels=100))


@contextmanager
def not_as_root() -> Iterator[None]:
    """Root may write anywhere, so a test that is run as root becomes somebody else for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@pytest.mark.skipif(os.name != "posix", reason="permissions as POSIX has them")
def test_a_read_only_folder_fails_before_computing(upscaler: Upscaler) -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to other users
        folder = Path(name)
        make(str(folder / "a.png"))
        folder.chmod(0o555)
        with not_as_root():
            error = fails_before_computing(plan([str(folder / "a.png")])[0], upscaler, Settings())
            for out in ("new/b.png", "new/"):
                with pytest.raises(UsageError, match="no permission"):
                    plan([str(folder / "a.png")], out=f"{folder}/{out}")
        assert f"cannot write into {folder}" in error
        folder.chmod(0o755)


@pytest.mark.skipif(os.name != "posix", reason="permissions as POSIX has them")
def test_what_may_not_be_looked_at_fails_alone() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(f"{folder}/album/a.png")
        make(f"{folder}/album/closed/b.png")
        folder.chmod(0o755)
        Path(folder / "album/closed").chmod(0)
        with not_as_root():
            jobs = plan([f"{folder}/album", f"{folder}/album/closed/b.png"], recursive=True)
        Path(folder / "album/closed").chmod(0o755)
    problems = {str(job.source.relative_to(folder)): job.problem for job in jobs if job.source}
    assert problems == {
        "album/a.png": None,
        "album/closed": "cannot list this folder: Permission denied",
        "album/closed/b.png": "Permission denied",
    }


@pytest.mark.parametrize(
    ("error", "words"),
    [(MemoryError(), "--tile 64"), (ZeroDivisionError("deep inside"), "unexpected ZeroDivisionError: deep inside")],
)
def test_a_crash_in_one_picture_does_not_stop_the_others(
    upscaler: Upscaler, error: Exception, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Upscaler.stream_picture

    def crash_on_square(self: Upscaler, picture: images.Picture, **options: object) -> images.Picture[Bands]:
        if picture.pixels.shape[0] == picture.pixels.shape[1]:
            raise error
        return original(self, picture, **options)

    monkeypatch.setattr(Upscaler, "stream_picture", crash_on_square)
    jobs = plan([make("a.png"), make("square.png", 12, 12), make("z.png")])
    results = list(run(jobs, upscaler, Settings()))
    assert [result.status for result in results] == ["done", "failed", "done"]
    assert words in str(results[1].error)


def test_nothing_of_a_finished_picture_is_kept(upscaler: Upscaler) -> None:
    Path("bad.png").write_text("no picture")
    jobs = plan([make("a.png"), "bad.png", make("b.png"), make("c.png")], out="out")

    def alive() -> int:
        gc.collect()
        return sum(type(thing) is images.Picture for thing in gc.get_objects())

    before = alive()
    counts = [alive() for _ in run(jobs, upscaler, Settings())]
    assert max(counts) <= before + 2  # the next one is read and enlarged already
    assert counts[-1] == before


def test_progress_counts_jobs_and_their_fractions(upscaler: Upscaler) -> None:
    seen: list[tuple[int, float]] = []
    list(run(plan([make("a.png"), make("b.png")]), upscaler, Settings(), lambda *position: seen.append(position)))
    assert seen == sorted(seen)
    assert seen[0] == (0, 0.0)
    assert {(0, 1.0), (1, 1.0)} <= set(seen)


def test_reading_the_network_and_writing_overlap(upscaler: Upscaler, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one picture is written, the next is read and enlarged."""
    written = threading.Event()
    begun: list[str] = []
    real = Upscaler.stream_picture

    def stream(self: Upscaler, picture: images.Picture, **options: object) -> images.Picture[Bands]:
        begun.append(threading.current_thread().name)
        if len(begun) == 2:
            written.set()
        return real(self, picture, **options)  # type: ignore[arg-type]

    def slow(*arguments: object, **options: object) -> list[str]:
        assert written.wait(60), "the next picture waits until this one is written"
        return deliver(*arguments, **options)  # type: ignore[arg-type]

    deliver = running._deliver
    monkeypatch.setattr(Upscaler, "stream_picture", stream)
    monkeypatch.setattr(running, "_deliver", slow)
    assert [result.status for result in run(plan([make("a.png"), make("b.png")]), upscaler, Settings())] == ["done"] * 2
    assert Image.open("a_4x.png").size == Image.open("b_4x.png").size == (64, 48)


def test_stopping_half_way_ends_the_threads(upscaler: Upscaler) -> None:
    names = [make(f"{number}.png") for number in range(6)]
    threads = threading.active_count()
    results = run(plan(names), upscaler, Settings())
    assert next(results).status == "done"
    results.close()
    assert threading.active_count() <= threads
    assert not list(Path().glob(".edgesr-*"))


def test_a_whole_run_gives_the_same_files_as_one_by_one(upscaler: Upscaler) -> None:
    names = [make(f"{number}.png", 20 + 8 * number, 90 - 8 * number) for number in range(5)]
    list(run(plan(names, out="together"), upscaler, Settings()))
    for name in names:
        list(run(plan([name], out="alone/"), upscaler, Settings()))
        assert Path("together", f"{name[:-4]}_4x.png").read_bytes() == Path("alone", f"{name[:-4]}_4x.png").read_bytes()
