"""`edgesr video` as people run it: real files of every container, before and after."""

from __future__ import annotations

import json
import os
import shutil
import signal
import struct
import subprocess
import time
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from command_line import COMMAND, ENVIRONMENT, edgesr_, error_of
from PIL import Image

av = pytest.importorskip("av")

from video.clips import content, make, pictures, planes

import edgesr.cli
from edgesr.errors import InputError, UsageError
from edgesr.upscaling.upscaler import Upscaler
from edgesr.video import joining, segments
from edgesr.video.codecs import CODECS, Codec
from edgesr.video.colour import Colour
from edgesr.video.upscale import upscale_video


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def upscaler() -> Upscaler:
    return Upscaler(engine="onnxruntime", precision="fp32", threads=1)


def test_the_command_as_a_user_sees_it() -> None:
    make("clip.mp4", pictures(5), codec="mpeg4", audio="aac")
    done = edgesr_("video", "clip.mp4", "big.mp4", "--threads", "1")
    assert (done.returncode, done.stdout) == (0, b"")
    engine, warning, result = done.stderr.decode().splitlines()
    assert engine.startswith("model tiny, engine onnxruntime (")
    assert "without a temporal model" in warning
    assert result.startswith("clip.mp4 -> big.mp4 (96x64, 5 frames, ")
    assert sorted(path.name for path in Path().iterdir()) == ["big.mp4", "clip.mp4"]
    found = content("big.mp4")
    assert (found.size, found.codec, len(found.frames)) == ((96, 64), "av1", 5)
    done = edgesr_("video", "clip.mp4", "small.mkv", "--json", "--scale", "1.5", "--codec", "ffv1")
    report = json.loads(done.stdout)
    assert (report["output"], report["width"], report["height"], report["frames"]) == ("small.mkv", 36, 24, 5)
    assert "without a temporal model" in done.stderr.decode()
    assert edgesr_("video", "clip.mp4", "b.mkv", "--quiet").stderr == b""


@pytest.mark.parametrize(
    ("codec", "target"),
    [
        ("av1", "big.mp4"), ("av1", "big.mkv"), ("av1", "big.webm"), ("vp9", "big.webm"), ("vp9", "big.mp4"),
        ("h264", "big.mp4"), ("h264", "big.mov"), ("hevc", "big.mkv"), ("ffv1", "big.mkv"),
    ],
)  # fmt: skip
def test_all_but_the_pixels_is_as_it_was(codec: str, target: str, upscaler: Upscaler) -> None:
    times = [0, 40, 83, 90, 200, 243]  # a variable frame rate
    audio = "libopus" if target == "big.webm" else "aac"
    make("clip.mp4", pictures(6), codec="libx264", times=times, tags=(1, 1, 1, 1), audio=audio, chapters=True,
         metadata={"title": "A clip", "comment": "kept"})  # fmt: skip
    result = upscale_video("clip.mp4", target, upscaler, codec=codec)
    old, new = content("clip.mp4"), content(target)
    assert result.notes == []
    assert (new.codec, new.size) == (codec, (96, 64))
    assert [time - new.times[0] for time in new.times] == [time * Fraction(1, 1000) for time in times]
    assert float(new.starts[0] - old.starts[0]) == pytest.approx(0, abs=1e-3)  # Matroska counts in ms
    assert new.tags == (1, 1, 1, 1)
    assert new.copied == old.copied and len(new.copied) == 1
    assert list(new.languages.values()) == ["jpn"]
    assert new.chapters == ["Beginning"]
    kept = {key.lower(): value for key, value in new.metadata.items()}
    assert (kept["title"], kept["comment"]) == ("A clip", "kept")


@pytest.mark.parametrize(
    ("codec", "target"), [("av1", "big.mp4"), ("av1", "big.mkv"), ("h264", "big.mov"), ("vp9", "big.webm")]
)
@pytest.mark.parametrize("rotation", [90, -90, 180])
def test_rotation_is_kept(rotation: int, codec: str, target: str, upscaler: Upscaler) -> None:
    make("clip.mp4", pictures(2), codec="libx264", rotation=rotation)
    upscale_video("clip.mp4", target, upscaler, codec=codec)
    assert content(target).rotation == content("clip.mp4").rotation != 0


def test_pixels_that_are_not_square_stay_so_or_the_container_is_refused(upscaler: Upscaler) -> None:
    make("clip.mp4", pictures(2), codec="libx264", aspect=Fraction(4, 3))
    for codec, target in [("av1", "big.mp4"), ("h264", "big.mkv"), ("hevc", "big.mov")]:
        upscale_video("clip.mp4", target, upscaler, codec=codec)
        assert content(target).aspect == Fraction(4, 3)
    with pytest.raises(InputError, match=r"\.mkv .* 4:3 .*\.mp4"):
        upscale_video("clip.mp4", "wide.mkv", upscaler, codec="av1")


@pytest.mark.parametrize(
    ("tags", "format"),
    [((5, 1, 5, 6), "yuv420p"), ((1, 2, 1, 13), "yuv420p"), ((9, 1, 9, 16), "yuv420p10le"), ((6, 1, 6, 6), "yuv444p")],
)
@pytest.mark.parametrize("codec", ["av1", "h264", "ffv1"])
def test_colours_and_their_tags_are_kept(tags: tuple[int, ...], format: str, codec: str, upscaler: Upscaler) -> None:
    flat = np.full((16, 24, 3), (200, 60, 30), np.uint8)
    with av.open("clip.mkv", "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 24, 16, format
        colour = Colour(*tags)
        colour.tag(stream.codec_context)
        frame = colour.frame(flat.astype(np.uint16) * 257, format)
        frame.pts = 0
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    upscale_video("clip.mkv", "big.mkv", upscaler, codec=codec)
    assert content("big.mkv").tags == tags
    with av.open("big.mkv") as file:
        frame = next(file.decode(video=0))
        bits = max(component.bits for component in frame.format.components)
        assert bits == (10 if format.endswith("10le") else 8)
        shown = colour.pixels(frame)[8:-8, 8:-8] / 257
    with av.open("clip.mkv") as file:
        expected = upscaler(colour.pixels(next(file.decode(video=0))))[8:-8, 8:-8] / 257
    assert np.abs(shown.mean((0, 1)) - expected.mean((0, 1))).max() < 1.5


@pytest.fixture
def hdr10() -> str:
    """A clip as HDR10 cameras and stores have it."""
    params = "log-level=none:bframes=0:master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1):max-cll=1000,400"
    with av.open("hdr.mkv", "w") as out:
        stream = out.add_stream("libx265", rate=25, options={"x265-params": params})
        stream.width, stream.height, stream.pix_fmt = 32, 24, "yuv420p10le"
        colour = Colour(9, 1, 9, 16)
        colour.tag(stream.codec_context)
        frame = colour.frame(np.full((24, 32, 3), 30000, np.uint16), "yuv420p10le")
        frame.pts = 0
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return "hdr.mkv"


@pytest.mark.parametrize("target", ["big.mp4", "big.mkv"])
@pytest.mark.parametrize("codec", ["av1", "hevc"])
def test_hdr10_metadata_are_kept(codec: str, target: str, hdr10: str, upscaler: Upscaler) -> None:
    result = upscale_video(hdr10, target, upscaler, scale=2, codec=codec)
    assert not any("HDR10" in note for note in result.notes)
    with av.open(target) as file:
        found = {each.type.name: bytes(each) for each in next(file.decode(video=0)).side_data}
    numbers = struct.unpack("22i", found["MASTERING_DISPLAY_METADATA"])
    display = [top / bottom for top, bottom in zip(numbers[:20:2], numbers[1:20:2], strict=True)]
    assert display == pytest.approx([0.68, 0.32, 0.265, 0.69, 0.15, 0.06, 0.3127, 0.329, 0.0001, 1000], abs=5e-5)
    assert struct.unpack("2I", found["CONTENT_LIGHT_LEVEL"]) == (1000, 400)


def test_hdr10_metadata_that_a_codec_cannot_hold_are_noted(hdr10: str, upscaler: Upscaler) -> None:
    notes = upscale_video(hdr10, "big.mkv", upscaler, scale=2, codec="vp9").notes
    assert [note for note in notes if "HDR10" in note and "av1 and hevc" in note]


@pytest.mark.parametrize(
    ("matrix", "range", "red"), [(1, 1, (63, 102, 240)), (1, 2, (54, 99, 255)), (6, 1, (81, 90, 240)), (9, 1, (74, 97, 240))]
)
def test_levels_are_those_of_the_standard(matrix: int, range: int, red: tuple[int, int, int]) -> None:
    colour = Colour(matrix, range, 2, 2)
    for rgb, levels in [((255, 0, 0), red), ((255, 255, 255), (235 if range == 1 else 255, 128, 128))]:
        pixels = np.full((4, 4, 3), rgb, np.uint16) * 257
        frame = colour.frame(pixels, "yuv444p")
        assert tuple(plane[0] for plane in planes(frame).reshape(3, -1)) == levels
        assert np.abs(colour.pixels(frame) / 257 - rgb).max() < 1.5


def test_a_video_without_tags_gets_those_that_players_assumed_for_its_size(upscaler: Upscaler) -> None:
    make("small.mkv", pictures(1, 24, 16))
    upscale_video("small.mkv", "big.mkv", upscaler)
    assert content("big.mkv").tags == (6, 1, 2, 2)  # BT.601; 4x of a DVD would be taken for BT.709 without tags


def test_a_killed_run_continues_where_it_was_and_makes_the_same_file(upscaler: Upscaler) -> None:
    make("clip.mp4", pictures(segments.FRAMES * 3 + 10), codec="libx264", audio="aac")
    words = ["video", "clip.mp4", "big.mp4", "--threads", "1", "--engine", "onnxruntime", "--precision", "fp32"]
    with subprocess.Popen([*COMMAND, *words, "--quiet"], env=ENVIRONMENT) as process:
        while not Path("big.mp4.partial/000000.nut").exists():
            assert process.poll() is None
            time.sleep(0.005)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert not Path("big.mp4").exists()
    finished = len(list(Path("big.mp4.partial").glob("0*.nut")))
    assert 0 < finished < 4
    assert "other options" in error_of(*words, "--scale", "2", "--quiet", code=1)
    done = edgesr_(*words)
    assert done.returncode == 0
    assert f"continued at frame {finished * segments.FRAMES}, " in done.stderr.decode()
    assert sorted(path.name for path in Path().iterdir()) == ["big.mp4", "clip.mp4"]
    upscale_video("clip.mp4", "at-once.mp4", upscaler)
    assert Path("big.mp4").read_bytes() == Path("at-once.mp4").read_bytes()


def test_a_run_killed_after_the_last_segment_only_joins(upscaler: Upscaler, monkeypatch: pytest.MonkeyPatch) -> None:
    make("clip.mkv", pictures(3))
    Path("full").mkdir()
    with monkeypatch.context() as patched:
        patched.setattr(joining, "join", stopped)
        with pytest.raises(KeyboardInterrupt):
            upscale_video("clip.mkv", "big.mkv", upscaler)
    result = upscale_video("clip.mkv", "big.mkv", upscaler)
    assert (result.frames, result.continued_at, result.computed) == (3, 3, 0)
    assert len(content("big.mkv").frames) == 3


def stopped(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.skipif(
    not hasattr(os, "sched_getscheduler") or os.geteuid() != 0, reason="only root may ask for real-time scheduling"
)
def test_encoding_does_not_take_the_machine(upscaler: Upscaler) -> None:
    """SVT-AV1 puts the calling thread and its own under real-time scheduling, where it may."""
    found: set[int] = set()

    def look(_: float) -> None:
        for thread in Path("/proc/self/task").iterdir():
            with suppress(ProcessLookupError):
                found.add(os.sched_getscheduler(int(thread.name)))

    make("clip.mkv", pictures(2))
    upscale_video("clip.mkv", "big.mkv", upscaler, codec="av1", progress=look)
    look(1)
    assert found == {os.SCHED_OTHER}


def test_two_runs_do_not_write_the_same_video(upscaler: Upscaler) -> None:
    make("clip.mkv", pictures(2))
    with segments.opened(Path("big.mkv"), {}), pytest.raises(InputError, match="another edgesr video is writing it"):
        upscale_video("clip.mkv", "big.mkv", upscaler)


def test_a_still_scene_does_not_flicker_and_is_computed_once(upscaler: Upscaler) -> None:
    still = pictures(1)[0]
    make("clip.mkv", [still] * 4)
    result = upscale_video("clip.mkv", "big.mkv", upscaler, codec="ffv1")
    frames = content("big.mkv").frames
    assert all(np.array_equal(frame, frames[0]) for frame in frames)
    assert result.computed == 1
    moved = pictures(2)[1]
    make("there-and-back.mkv", [still, moved, still])
    upscale_video("there-and-back.mkv", "back.mkv", upscaler, codec="ffv1")
    first, between, last = content("back.mkv").frames
    assert np.array_equal(first, last) and not np.array_equal(first, between)


def test_frames_are_what_upscale_makes_of_them(upscaler: Upscaler) -> None:
    make("clip.mkv", pictures(2, 40, 24), format="yuv444p", tags=(1, 2, 1, 1))
    upscale_video("clip.mkv", "big.mkv", upscaler, codec="ffv1")
    colour = Colour(1, 2, 1, 1)
    with av.open("clip.mkv") as small, av.open("big.mkv") as big:
        for lr, hr in zip(small.decode(video=0), big.decode(video=0), strict=True):
            expected = upscaler(colour.pixels(lr), sharpness=0)
            assert np.abs(colour.pixels(hr) / 257 - expected / 257).max() < 2  # rounding to 8 bits of Y'CbCr


def test_an_animation_becomes_a_video_of_the_same_times(upscaler: Upscaler) -> None:
    first, *others = [Image.fromarray(pixels) for pixels in pictures(4)]
    first.save("clip.gif", save_all=True, append_images=others, duration=[40, 100, 200, 50])
    upscale_video("clip.gif", "big.mp4", upscaler)
    assert content("big.mp4").times == [0, Fraction(4, 100), Fraction(14, 100), Fraction(34, 100)]
    with av.open("big.mp4") as file:
        stream = file.streams.video[0]
        assert stream.duration * stream.time_base == Fraction(39, 100)


def test_subtitles_and_attachments_are_copied_or_the_container_is_refused(upscaler: Upscaler) -> None:
    make("clip.mkv", pictures(3), subtitles=True, attachment=b"by hand")
    upscale_video("clip.mkv", "big.mkv", upscaler)
    old, new = content("clip.mkv"), content("big.mkv")
    assert new.copied == old.copied and new.copied
    assert new.attachments == [b"by hand"]
    with pytest.raises(InputError, match=r"cannot hold the \w+ stream .*name a \.mkv file"):
        upscale_video("clip.mkv", "big.mp4", upscaler)
    assert not Path("big.mp4.partial").exists()


def test_a_stream_that_begins_late_stays_in_step(upscaler: Upscaler) -> None:
    make("clip.ts", pictures(4), codec="libx264", audio="aac", start=2000)
    upscale_video("clip.ts", "big.mp4", upscaler)
    old, new = content("clip.ts"), content("big.mp4")
    assert old.times[0] > 1 > new.times[0]
    assert float(new.starts[0]) == pytest.approx(float(old.starts[0]), abs=1e-4)


@pytest.mark.parametrize("make_input, words, expected, code", [
    ("picture", ["in.png", "out.mp4"], "is a picture (PNG), not a video: use `edgesr upscale`", 1),
    ("sound", ["in.m4a", "out.mp4"], "has no video stream", 1),
    ("text", ["in.mp4", "out.mp4"], "not a video, or damaged", 1),
    ("nothing", ["in.mp4", "out.mp4"], "in.mp4: no such file", 1),
    ("folder", ["in.mp4", "out.mp4"], "is not a regular file", 1),
    ("video", ["in.mkv", "out.avi"], "name a video file, with one of the extensions .mp4", 2),
    ("video", ["in.mkv", "in.mkv", "--overwrite"], "is the input itself", 2),
    ("video", ["in.mkv", "there.mp4"], "exists already", 1),
    ("video", ["in.mkv", "no/out.mp4"], "does not exist; create it first", 1),
    ("video", ["in.mkv", "out.mp4", "--codec", "mjpeg"], "unknown codec 'mjpeg': choose one of av1", 2),
    ("video", ["in.mkv", "out.webm", "--codec", "h264"], "cannot be written as h264 in .webm", 1),
    ("video", ["in.mkv", "out.mp4", "--crf", "64"], "crf 64: av1 takes 0 (best) to 63", 2),
    ("video", ["in.mkv", "out.mkv", "--codec", "ffv1", "--crf", "1"], "is lossless", 2),
    ("video", ["in.mkv", "out.mp4", "--scale", "9"], "scale 9", 2),
    ("video", ["in.mkv", "out.mp4", "--width", "1"], "too small for a video", 2),
])  # fmt: skip
def test_bad_input_is_one_line(
    make_input: str, words: list[str], expected: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("there.mp4").write_text("mine")
    {
        "picture": lambda: Image.new("RGB", (8, 8)).save("in.png"),
        "sound": lambda: _sound("in.m4a"),
        "text": lambda: Path("in.mp4").write_text("no video"),
        "nothing": lambda: None,
        "folder": lambda: Path("in.mp4").mkdir(),
        "video": lambda: make("in.mkv", pictures(2)),
    }[make_input]()
    before = sorted(Path().iterdir())
    assert edgesr.cli.main(["video", *words, "--quiet"]) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("edgesr: ") and expected in line
    assert sorted(Path().iterdir()) == before
    assert Path("there.mp4").read_text() == "mine"


def test_an_encoder_that_this_ffmpeg_lacks_is_named(upscaler: Upscaler, monkeypatch: pytest.MonkeyPatch) -> None:
    make("clip.mkv", pictures(1))
    lacking = Codec("h264", "libopenh264x", 16, 51)
    monkeypatch.setitem(CODECS, "h264", lacking)
    with pytest.raises(UsageError, match=r"has no encoder libopenh264x; it has av1, vp9, hevc, ffv1"):
        upscale_video("clip.mkv", "big.mkv", upscaler, codec="h264")


def test_a_damaged_video_is_done_only_when_asked(upscaler: Upscaler) -> None:
    make("clip.mp4", pictures(12, 64, 64), codec="libx264")
    data = bytearray(Path("clip.mp4").read_bytes())
    middle = len(data) // 2
    Path("clip.mp4").write_bytes(data[:middle] + bytes(200) + data[middle + 200 :])
    with pytest.raises(InputError, match="--accept-damaged"):
        upscale_video("clip.mp4", "big.mkv", upscaler)
    shutil.rmtree("big.mkv.partial", ignore_errors=True)
    result = upscale_video("clip.mp4", "big.mkv", upscaler, accept_damaged=True)
    assert result.frames == 12
    assert any("only in part" in note for note in result.notes)


def test_a_truncated_video_says_so(upscaler: Upscaler) -> None:
    make("clip.mov", pictures(12, 64, 64), codec="mjpeg", format="yuvj420p")
    with av.open("clip.mov") as whole, av.open("front.mov", "w", container_options={"movflags": "faststart"}) as out:
        stream = out.add_stream_from_template(whole.streams.video[0], opaque=True)
        for packet in whole.demux(video=0):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    data = Path("front.mov").read_bytes()
    Path("front.mov").write_bytes(data[: len(data) * 2 // 3])
    result = upscale_video("front.mov", "big.mkv", upscaler, accept_damaged=True)
    assert 0 < result.frames < 12
    assert any("of the 12 frames that it states" in note for note in result.notes)


def _sound(path: str) -> None:
    with av.open(path, "w") as out:
        stream = out.add_stream("aac", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 48000
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
