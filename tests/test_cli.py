"""The command as people run it: real processes, their exit codes, and what they print where."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from command_line import COMMAND, ENVIRONMENT, edgesr_, error_of
from PIL import Image

import edgesr.cli
from edgesr.upscaling.upscaler import Upscaler

CASES = Path(__file__).parents[2] / "shared" / "cases"
posix = pytest.mark.skipif(os.name != "posix", reason="signals, terminals and users as POSIX has them")


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def make(name: str, width: int = 16, height: int = 12) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(name)
    return Path(name).read_bytes()


def tree() -> list[str]:
    return sorted(str(path) for path in Path().rglob("*") if path.is_file())


def test_one_picture() -> None:
    make("photo.jpg")
    done = edgesr_("upscale", "photo.jpg", "--threads", "1")
    assert (done.returncode, done.stdout) == (0, b"")
    engine, result = done.stderr.decode().splitlines()
    assert engine.startswith("model tiny, engine onnxruntime (")
    assert result.startswith("photo.jpg -> photo_4x.jpg (64x48, ")
    assert tree() == ["photo.jpg", "photo_4x.jpg"]
    with Image.open("photo_4x.jpg") as picture:
        assert (picture.format, picture.size) == ("JPEG", (64, 48))


@pytest.mark.parametrize(
    ("options", "name", "size"),
    [
        (["--scale", "2"], "photo_2x.png", (32, 24)),
        (["--scale", "2.5"], "photo_2.5x.png", (40, 30)),
        (["--width", "48"], "photo_48w.png", (48, 36)),
        (["--height", "48"], "photo_48h.png", (64, 48)),
        (["--format", "tiff"], "photo_4x.tif", (64, 48)),
        (["-o", "big.webp"], "big.webp", (64, 48)),
    ],
)
def test_the_name_tells_the_size(options: list[str], name: str, size: tuple[int, int]) -> None:
    make("photo.png")
    assert edgesr_("upscale", "photo.png", "--quiet", *options).stderr == b""
    assert tree() == sorted([name, "photo.png"])
    with Image.open(name) as picture:
        assert picture.size == size


def test_a_bad_file_among_good_ones() -> None:
    make("a.png")
    make("b.png")
    Path("bad\nname.png").write_text("no picture")
    done = edgesr_("upscale", "a.png", "bad\nname.png", "gone.png", "b.png", "-o", "out", "--quiet")
    assert done.returncode == 1
    bad, gone, summary = done.stderr.decode().splitlines()
    assert bad.startswith("edgesr: bad name.png: ")
    assert gone == "edgesr: gone.png: no such file or folder"
    assert summary == "edgesr: 2 done, 0 skipped, 2 failed"
    assert tree() == ["a.png", "b.png", "bad\nname.png", "out/a_4x.png", "out/b_4x.png"]


def test_same_names_never_replace_one_another_and_a_second_run_skips_them() -> None:
    for name in ("x/a.png", "y/a.png", "y/a.jpg"):
        make(name)
    words = ("upscale", "x/a.png", "y", "-o", "out/", "--format", "png", "--skip-existing", "--json")
    first, second = (json.loads(edgesr_(*words).stdout)["results"] for _ in range(2))
    assert [result["status"] for result in first + second] == ["done"] * 3 + ["skipped"] * 3
    assert len({result["output"] for result in first}) == 3
    assert [result["output"] for result in first] == [result["output"] for result in second]


def test_json() -> None:
    make("a.png")
    done = edgesr_("upscale", "a.png", "gone.png", "--json")
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert (report["model"], report["fidelity"]) == ("tiny", 0)
    assert report["engine"].startswith("onnxruntime (")
    good, gone = report["results"]
    assert good.pop("seconds") > 0
    assert isinstance(good.pop("notes"), list)
    assert good == {"input": "a.png", "output": "a_4x.png", "status": "done", "width": 64, "height": 48}
    assert (gone["input"], gone["output"], gone["status"]) == ("gone.png", None, "failed")
    assert gone["error"] == "no such file or folder"


def test_pipes_carry_the_picture_and_nothing_else() -> None:
    data = make("a.jpg")
    make("b.png")
    for words, stdin, format in [
        (["-"], data, "JPEG"),
        (["-", "-o", "-", "--format", "webp"], data, "WEBP"),
        (["-", "-o", "-", "--format", "tiff"], data, "TIFF"),
        (["b.png", "-o", "-"], b"", "PNG"),
    ]:
        done = edgesr_("upscale", *words, stdin=stdin)
        assert done.returncode == 0
        with Image.open(io.BytesIO(done.stdout)) as picture:
            assert (picture.format, picture.size) == (format, (64, 48))
    assert edgesr_("upscale", "-", "-o", "c.png", stdin=data).stdout == b""
    assert tree() == ["a.jpg", "b.png", "c.png"]


def test_a_pipe_and_a_file_give_the_same_bytes() -> None:
    data = make("a.png")
    edgesr_("upscale", "a.png")
    assert edgesr_("upscale", "-", stdin=data).stdout == Path("a_4x.png").read_bytes()


@posix
@pytest.mark.parametrize("kind", ["fifo", "socket", "link"])
def test_what_is_no_file_does_not_hold_up_a_folder(kind: str) -> None:
    make("album/a.png")
    if kind == "fifo":
        os.mkfifo("album/b.png")
    elif kind == "socket":
        socket.socket(socket.AF_UNIX).bind("album/b.png")
    else:
        Path("album/b.png").symlink_to("nowhere")
    done = edgesr_("upscale", "album", "--quiet", timeout=60)
    assert done.returncode == 1
    failure, summary = done.stderr.decode().splitlines()
    assert failure.startswith("edgesr: album/b.png: ")
    assert "broken link to nowhere" in failure if kind == "link" else "not a regular file" in failure
    assert summary == "edgesr: 1 done, 0 skipped, 1 failed"
    assert "album_4x/a_4x.png" in tree()


@posix
def test_a_pipe_without_end_is_refused_by_its_first_bytes() -> None:
    words = [*COMMAND, "upscale", "-", "--quiet"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT) as process:
        assert process.stdin is not None and process.stderr is not None
        sent = 0
        try:
            while sent < 2**30:
                sent += process.stdin.write(bytes(2**16))
            process.stdin.close()
        except BrokenPipeError:
            pass
        process.stdin = None
        assert b"<stdin>: unsupported image format" in process.stderr.read()
    assert process.returncode == 1
    assert sent < 2**24


@posix
def test_a_pipe_is_read_no_further_than_max_pixels_can_take() -> None:
    data = make("a.bmp") + bytes(2**27)
    assert "--max-pixels" in error_of("upscale", "-", "--quiet", "--max-pixels", "1000", stdin=data, code=1)
    assert edgesr_("upscale", "-", "--quiet", stdin=data).returncode == 0


def test_a_damaged_picture_is_done_only_when_asked() -> None:
    data = make("a.jpg", 160, 120)
    Path("a.jpg").write_bytes(data[: len(data) // 2] + b"\xff\xd9")
    assert "--accept-damaged" in error_of("upscale", "a.jpg", "--quiet", code=1)
    done = edgesr_("upscale", "a.jpg", "--accept-damaged")
    assert done.returncode == 0
    assert b"  damaged file, decoded in part: " in done.stderr
    assert Image.open("a_4x.jpg").size == (640, 480)


def test_bad_bytes_from_a_pipe_fail() -> None:
    assert "<stdin>: unsupported image format" in error_of("upscale", "-", "--quiet", stdin=b"no picture", code=1)
    assert "--json" in error_of("upscale", "-", "--json", stdin=b"")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--nothing"], "VERB"),
        (["enlarge"], "enlarge"),
        (["upscale"], "INPUT"),
        (["upscale", "a.png", "--scale", "9"], "scale 9"),
        (["upscale", "a.png", "--scale", "nan"], "scale nan"),
        (["upscale", "a.png", "--scale", "2", "--width", "64"], "scale"),
        (["upscale", "a.png", "--fidelity", "1.5"], "fidelity '1.5'"),
        (["upscale", "a.png", "--quality", "101"], "'101' is not a whole number of 1 to 100"),
        (["upscale", "a.png", "--tile", "big"], "'big'"),
        (["upscale", "a.png", "--skip-existing", "--overwrite"], "--skip-existing"),
        (["upscale", "a.png", "--model", "huge"], "tiny"),
        (["upscale", "a.png", "--model", "paper"], "paper"),
        (["upscale", "a.png", "--engine", "steam"], "steam"),
        (["upscale", "a.png", "--format", "xyz"], "xyz"),
        (["upscale", "a.png", "--format", "jpg", "-o", "b.png"], "--format"),
        (["upscale", "a.png", "-o", "./a.png", "--overwrite"], "is the input itself"),
        (["upscale", "empty"], "no images"),
        (["upscale", "*.bmp"], "no image matches"),
        (["bench", "--size", "128"], "'128'"),
        (["train", "recipe.toml"], "--out"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_code_2(words: list[str], expected: str) -> None:
    make("a.png")
    Path("empty").mkdir()
    assert expected in error_of(*words)
    assert tree() == ["a.png"]


def test_an_existing_result_needs_a_flag() -> None:
    make("a.png")
    Path("a_4x.png").write_text("mine")
    assert "--skip-existing" in error_of("upscale", "a.png", "--quiet", code=1)
    assert edgesr_("upscale", "a.png", "--skip-existing").returncode == 0
    assert Path("a_4x.png").read_text() == "mine"
    assert edgesr_("upscale", "a.png", "--overwrite").returncode == 0
    assert Image.open("a_4x.png").size == (64, 48)


def test_a_linked_input_stays_a_link() -> None:
    make("album/a.png")
    Path("link.png").symlink_to("album/a.png")
    assert edgesr_("upscale", "link.png").returncode == 0
    assert tree() == ["album/a.png", "link.png", "link_4x.png"]
    assert Path("link.png").is_symlink()
    assert "is the input itself" in error_of("upscale", "link.png", "-o", "album/a.png", "--overwrite")


@posix
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP] if os.name == "posix" else [])
def test_a_stopped_run_leaves_nothing_behind(stop: signal.Signals) -> None:
    make("big.bmp", 2000, 2000)

    def listen() -> None:  # a runner under nohup has left SIGHUP ignored, and programs inherit that
        signal.signal(stop, signal.SIG_DFL)

    words = [*COMMAND, "upscale", "big.bmp"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, env=ENVIRONMENT, text=True, preexec_fn=listen) as process:  # noqa: PLW1509
        assert process.stderr is not None
        assert process.stderr.readline().startswith("model tiny")
        time.sleep(1)
        process.send_signal(stop)
        assert process.stderr.read() == "edgesr: stopped\n"
    assert process.returncode == 128 + stop
    assert tree() == ["big.bmp"]


@posix
def test_a_run_that_is_to_outlive_its_terminal_does() -> None:
    make("a.png", 300, 300)
    words = ["nohup", *COMMAND, "upscale", "a.png", "-o", "b.png"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT, text=True) as process:
        assert process.stderr is not None
        assert any(line.startswith("model tiny") for line in process.stderr)
        process.send_signal(signal.SIGHUP)
        process.communicate()
    assert process.returncode == 0
    assert Image.open("b.png").size == (1200, 1200)


@posix
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_network_that_never_ends_is_stopped_all_the_same(stop: signal.Signals) -> None:
    if not CASES.is_dir():
        pytest.skip("the files are not here")
    make("a.png")
    words = [*COMMAND, "upscale", "a.png", "--weights", str(CASES / "loop.onnx")]
    with subprocess.Popen(words, stderr=subprocess.PIPE, env=ENVIRONMENT, text=True) as process:
        time.sleep(5)
        assert process.poll() is None
        process.send_signal(stop)
        _, told = process.communicate(timeout=20)
    assert told.splitlines()[-1] == "edgesr: stopped"
    assert process.returncode == 128 + stop
    assert tree() == ["a.png"]


@posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
def test_a_result_is_as_private_as_its_source(mode: int) -> None:
    make("a.png")
    Path("a.png").chmod(mode)
    assert edgesr_("upscale", "a.png", "--quiet").returncode == 0
    assert Path("a_4x.png").stat().st_mode & 0o777 == mode


@posix
def test_no_byte_of_a_name_commands_the_terminal() -> None:
    name = "a\x1b]0;owned\x07\x1b[2J\u202e.png"
    make(name)
    Path("bad\x1b[31m.png").write_text("no picture")
    done = edgesr_("upscale", name, "bad\x1b[31m.png", "gone\x9b1m.png")
    told = done.stderr.decode()
    assert r"a\x1b]0;owned\x07\x1b[2J\u202e.png -> " in told
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(told)
    assert Path("a\x1b]0;owned\x07\x1b[2J\u202e_4x.png").exists()


def test_more_threads_than_cores_are_not_started() -> None:
    make("a.png")
    done = edgesr_("upscale", "a.png", "--threads", "200", timeout=60)
    told = done.stderr.decode().splitlines()
    assert done.returncode == 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert told[0] == f"--threads 200: using {cores}, the number of cores that it may use"
    assert f"{cores} thread" in told[1]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="a process is not kept to cores here")
def test_threads_are_no_more_than_the_cores_that_the_process_is_kept_to() -> None:
    make("a.png")
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        done = edgesr_("upscale", "a.png", "--threads", "2")
    finally:
        os.sched_setaffinity(0, before)
    assert done.stderr.decode().startswith("--threads 2: using 1, ")


def test_the_seed_is_that_of_the_noise() -> None:
    make("a.png")
    for seed in (0, 5):
        assert edgesr_("upscale", "a.png", "--seed", f"{seed}", "-o", f"{seed}.png", "--threads", "1").returncode == 0
        with Image.open("a.png") as picture, Image.open(f"{seed}.png") as result:
            assert np.array_equal(np.asarray(result), Upscaler(seed=seed, threads=1)(np.asarray(picture)))
    assert Path("0.png").read_bytes() != Path("5.png").read_bytes()


@posix
def test_a_killed_run_leaves_no_half_file_under_the_result_s_name() -> None:
    make("big.png", 1200, 2000)
    with subprocess.Popen([*COMMAND, "upscale", "big.png", "--quiet"], env=ENVIRONMENT) as process:
        while not any(path.stat().st_size for path in Path().glob(".edgesr-*.tmp")):  # the first rows are written
            assert process.poll() is None
            time.sleep(0.05)
        process.kill()
    assert not Path("big_4x.png").exists()
    assert [name for name in tree() if not name.startswith(".")] == ["big.png"]


@posix
def test_a_reader_that_leaves_early_causes_no_noise() -> None:
    make("a.png")
    for words in (["models"], ["upscale", "a.png", "-o", "-", "--quiet"]):
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run([*COMMAND, *words], stdout=writing, stderr=subprocess.PIPE, env=ENVIRONMENT, check=False)
        os.close(writing)
        assert (done.returncode, done.stderr) == (141, b"")


def on_a_terminal(*words: str, stdin: bool = False, stdout: bool = False) -> tuple[int, str]:
    """Run with standard error (and others) on a terminal; return the exit code and what the terminal received."""
    import fcntl
    import struct
    import termios

    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    with subprocess.Popen(
        [*COMMAND, *words],
        stdin=theirs if stdin else subprocess.DEVNULL,
        stdout=theirs if stdout else subprocess.DEVNULL,
        stderr=theirs,
        env=ENVIRONMENT,
    ) as process:
        os.close(theirs)
        received = b""
        while True:
            try:
                piece = os.read(ours, 4096)
            except OSError:  # how Linux says that the other end is closed
                break
            if not piece:
                break
            received += piece
    os.close(ours)
    return process.returncode, received.decode()


@posix
def test_no_picture_goes_to_a_terminal() -> None:
    make("a.png")
    for words, expected in [
        (["a.png", "-o", "-"], "redirect standard output"),
        (["-", "-o", "b.png"], "standard input is a terminal"),
    ]:
        code, text = on_a_terminal("upscale", *words, stdin=True, stdout=True)
        assert code == 2
        assert expected in text
        assert text.count("\n") == 1


@posix
def test_progress_is_for_terminals() -> None:
    make("a.png", 200, 200)
    code, text = on_a_terminal("upscale", "a.png", "--threads", "1")
    assert code == 0
    assert "a.png " in text
    assert "left" in text
    assert "%" in text
    assert on_a_terminal("upscale", "a.png", "--overwrite", "--quiet") == (0, "")
    assert "%" not in edgesr_("upscale", "a.png", "--overwrite").stderr.decode()


def crash(*_: object, **__: object) -> None:
    raise ZeroDivisionError("deep inside")


def test_an_unexpected_error_is_one_line_unless_details_are_wanted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    make("a.png")
    monkeypatch.setattr(Upscaler, "stream_picture", crash)
    assert edgesr.cli.main(["upscale", "a.png", "--quiet"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("edgesr: a.png: unexpected ZeroDivisionError: deep inside; please report it")
    assert not caplog.records
    assert edgesr.cli.main(["upscale", "a.png", "--quiet", "--debug"]) == 1
    assert "Traceback" in caplog.text


@pytest.mark.parametrize("words", [["--help"], ["upscale", "--help"], ["bench", "--help"], ["train", "--help"]])
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    script = f"""
import sys
from edgesr.cli import main
try:
    main({words!r})
except SystemExit as stop:
    print(stop.code, sorted({{"numpy", "onnxruntime", "PIL", "tqdm", "torch", "logging"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], env=ENVIRONMENT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"usage: edgesr {words[0] if len(words) > 1 else ''}".rstrip())
    assert done.stdout.endswith("0 []\n")


def test_version() -> None:
    done = edgesr_("--version")
    assert done.returncode == 0
    assert done.stdout.decode().startswith("edgesr 0.")
