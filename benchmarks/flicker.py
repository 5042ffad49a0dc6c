"""The figures on flicker in docs/video.md: `python benchmarks/flicker.py [PICTURE]` (default: examples/coffee.jpg).

Both clips go through `upscale_video` into a lossless file, so that differences are the upscaler's. Still: one frame, repeated, with and
without the noise of a camera. Pan: a window that moves over PICTURE by one px of the result per frame, reduced 4 times (box), so that
the same detail falls on other positions of the input's grid. Flicker is the mean difference in luma of successive frames, the second
moved back by the pan, in levels of 255; it is 0 for the photograph itself.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgesr import Upscaler
from edgesr.video.upscale import upscale_video

FRAMES = 9
SIZE = 96  # LR px of the clip's sides
LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)  # BT.709, which a video of RGB becomes
EDGE = 16  # px of the result that are left out: there the pan brings new content
Clip = list[NDArray[np.uint8]]


def still(photo: NDArray[np.uint8], noise: float = 0.0) -> Clip:
    """One reduced frame, repeated; `noise` is the standard deviation of each frame's own noise, in levels."""
    frame, random = reduced(photo[: 4 * SIZE, : 4 * SIZE]), np.random.default_rng(0)
    return [np.clip(np.rint(frame + random.normal(0, noise, frame.shape)), 0, 255).astype(np.uint8) for _ in range(FRAMES)]


def pan(photo: NDArray[np.uint8]) -> Clip:
    """A window that moves by one px of the result per frame, reduced."""
    return [reduced(photo[: 4 * SIZE, i : i + 4 * SIZE]) for i in range(FRAMES)]


def reduced(window: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(4H, 4W, 3) -> (H, W, 3), the means of 4x4 px."""
    return np.asarray(Image.fromarray(window).reduce(4))


def flicker(frames: list[NDArray[np.float32]], shift: int) -> float:
    """The mean difference of successive luma planes, the second moved back by `shift` px, in levels."""
    width = frames[0].shape[1]
    columns = slice(EDGE, width - EDGE - shift)
    moved = slice(EDGE + shift, width - EDGE)
    return float(np.mean([np.abs(a[EDGE:-EDGE, moved] - b[EDGE:-EDGE, columns]).mean() for a, b in pairwise(frames)]))


def luma(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(H, W, 3) -> (H, W), rounded to the levels that luma has in a video of 8 bits."""
    return np.rint((frame.astype(np.float32) @ LUMA) * (219 / 255)) * (255 / 219)


def by_video(clip: Clip, upscaler: Upscaler) -> list[NDArray[np.float32]]:
    """Upscale by the way that `edgesr video` takes; return the luma of the decoded frames, full range."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "clip.mkv"), Path(folder, "big.mkv")
        with av.open(str(source), "w") as out:
            stream = out.add_stream("ffv1", rate=25)
            stream.height, stream.width = clip[0].shape[:2]
            stream.pix_fmt = "bgr0"
            for pixels in clip:
                out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
            out.mux(stream.encode(None))
        upscale_video(source, target, upscaler, codec="ffv1")
        with av.open(str(target)) as file:
            planes = [np.frombuffer(frame.planes[0], np.uint8).reshape(-1, frame.planes[0].line_size)[:, : frame.width]
                      for frame in file.decode(video=0)]  # fmt: skip
    return [(plane.astype(np.float32) - 16) * (255 / 219) for plane in planes]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", nargs="?", type=Path, default=Path(__file__).parents[1] / "examples" / "coffee.jpg")
    picture = Image.open(parser.parse_args().picture).convert("RGB")
    least = 4 * SIZE + FRAMES  # a small picture is enlarged, which leaves less detail to flicker
    factor = max(1.0, least / min(picture.size))
    photo = np.asarray(
        picture.resize((round(picture.width * factor), round(picture.height * factor)), Image.Resampling.LANCZOS)
    )
    clips = {"still": (still(photo), 0), "still, noise of 2 levels": (still(photo, 2.0), 0), "pan": (pan(photo), 1)}
    rows = {}
    for name, (clip, shift) in clips.items():
        crisp, faithful = Upscaler(seed=0), Upscaler(fidelity=1)
        changing = [luma(Upscaler(seed=index)(frame, sharpness=0)) for index, frame in enumerate(clip)]
        bicubic = [
            luma(np.asarray(Image.fromarray(frame).resize((4 * SIZE, 4 * SIZE), Image.Resampling.BICUBIC))) for frame in clip
        ]
        rows[name] = {
            "input, by nearest neighbour": flicker(
                [luma(np.kron(frame, np.ones((4, 4, 1), np.uint8))) for frame in clip], shift
            ),
            "bicubic": flicker(bicubic, shift),
            "tiny": flicker(by_video(clip, crisp), shift),
            "tiny, fidelity 1": flicker(by_video(clip, faithful), shift),
            "tiny, other noise in every frame": flicker(changing, shift),
        }
    print(json.dumps({name: {key: round(value, 3) for key, value in row.items()} for name, row in rows.items()}, indent=2))


if __name__ == "__main__":
    main()
