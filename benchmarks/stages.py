"""Where the time of one picture goes: `python benchmarks/stages.py [--size 512x512] [--repeat 5] [--precision fp32]`, a Markdown table.

Each round is a process of its own on one thread, without overlap of the stages. Processor time, median of the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from speed import photo

from edgesr.commands.console import size

STAGES = """
import io, json, sys, time
source, precision = sys.argv[1:]
laps, last = {}, time.process_time()
def lap(name):
    global last
    now = time.process_time()
    laps[name], last = now - last, now
import numpy, PIL.Image
lap("numpy and Pillow, imported")
from edgesr import images
from edgesr.commands import running
from edgesr.images.bands import Bands
from edgesr.upscaling.planes import resize
lap("edgesr, imported")
import onnxruntime
lap("onnxruntime, imported")
from edgesr.upscaling.upscaler import Upscaler
upscaler = Upscaler(threads=1, engine="onnxruntime", precision=precision)
lap("weights, loaded")
picture = images.read(source)
lap("JPEG, decoded")
out = upscaler.upscale_picture(picture)
lap("network")
for name in ("PNG", "JPEG"):
    images.encode(out, name)
    lap(f"{name}, encoded")
height, width, _ = picture.pixels.shape
resize(Bands.of(out.pixels), (3 * width, 3 * height)).whole()
lap("resampling to 3x")
print(json.dumps(laps))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=size, default="512x512")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--precision", default="fp32")
    arguments = parser.parse_args()
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as scratch:
        source = photo(Path(scratch) / "a.jpg", *arguments.size)
        command = [sys.executable, "-c", STAGES, str(source), arguments.precision]
        rounds = [
            json.loads(subprocess.run(command, env=environment, capture_output=True, check=True).stdout)
            for _ in range(arguments.repeat)
        ]
    print("| stage | processor time, ms |\n|---|---|")
    for name in rounds[0]:
        print(f"| {name} | {1000 * statistics.median(each[name] for each in rounds):.0f} |")


if __name__ == "__main__":
    main()
