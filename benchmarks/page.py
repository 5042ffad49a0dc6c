"""The figures of docs/web.md that concern the page, and its pictures: `python benchmarks/page.py [--pictures docs]`.

Needs the built page and Chromium. Browser and command line take turns, since other work on the machine disturbs both.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from edgesr import Upscaler
from edgesr.serve.pages import PAGE

ROOT = Path(__file__).parents[1]
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update"]
FIRST_STATE = """() => {
    window.shown = null;
    files.addEventListener('change', () => {
        const start = performance.now(), before = document.querySelector('#before img').getAttribute('src');
        const look = () => {
            const image = document.querySelector('#before img');
            const there = image.getAttribute('src') !== before && image.complete && image.naturalWidth;
            if (there && !viewer.hidden) window.shown = performance.now() - start;
            else requestAnimationFrame(look);
        };
        look();
    }, {once: true, capture: true});
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--large", action="store_true", help="also a picture of 12 megapixels, which takes minutes")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="write page-light.png and page-dark.png there instead")
    arguments = parser.parse_args()
    with serving() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        if arguments.pictures:
            take_pictures(browser, address, arguments.pictures)
            return
        weigh()
        page = browser.new_page()
        start = time.perf_counter()
        page.goto(f"{address}/?threads={arguments.threads}")
        page.wait_for_selector("#backend[data-ready]")
        print(f"model ready {time.perf_counter() - start:.1f} s after the first visit began; {page.inner_text('#backend')}")
        compare(page, arguments.threads, arguments.runs)
        if arguments.large:
            enlarge_a_photo(page)


@contextlib.contextmanager
def serving() -> Iterator[str]:
    command = [sys.executable, "-m", "edgesr", "serve", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        yield next(line for line in process.stderr if "http://" in line).split()[1]
        process.terminate()


def weigh() -> None:
    """Bytes of what a browser fetches, plain and packed."""
    root = Path(str(PAGE))
    own = [path for path in root.rglob("*") if path.suffix in {".html", ".js", ".css", ".svg", ".webmanifest"}]
    parts = {"page": own}
    for name, pattern in (("runtime, WASM", "ort-wasm-simd-threaded.[mw]*"), ("runtime, WebGPU", "*jspi*")):
        parts[name] = [path for path in (root / "ort").glob(pattern) if path.suffix != ".gz"]
    parts["runtime, WASM"].append(root / "ort/ort.wasm.min.mjs")
    for name, files in parts.items():
        plain = sum(path.stat().st_size for path in files)
        packed = sum(path.with_name(f"{path.name}.gz").stat().st_size for path in files)
        print(f"{name}: {plain / 1e3:,.0f} kB, {packed / 1e3:,.0f} kB packed")


def compare(page: Page, threads: int, runs: int) -> None:
    """256x256 -> 1024x1024 in the browser, by the network alone in Python, and by `edgesr upscale` as a whole process."""
    picture = Image.open(ROOT / "examples/coffee.jpg").convert("RGB").resize((256, 256), Image.Resampling.BICUBIC)
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    upscaler, pixels = Upscaler("tiny", threads=threads), np.asarray(picture)
    times: dict[str, list[float]] = {"browser": [], "Python": [], "edgesr upscale": [], "first state": []}
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "in.png")
        source.write_bytes(stream.getvalue())
        command = [sys.executable, "-m", "edgesr", "upscale", str(source), "-o", f"{folder}/out.png"]
        command += ["--threads", str(threads), "--overwrite", "--quiet"]
        for run in range(runs + 1):  # the first warms up
            page.evaluate(FIRST_STATE)
            page.set_input_files("#files", [{"name": f"{run}.png", "mimeType": "image/png", "buffer": stream.getvalue()}])
            start = time.perf_counter()
            page.wait_for_selector(f"#queue li:nth-child({run + 1})[data-state=done]")
            seconds = {"browser": time.perf_counter() - start, "first state": page.evaluate("window.shown") / 1000}
            start = time.perf_counter()
            upscaler(pixels)
            seconds["Python"] = time.perf_counter() - start
            start = time.perf_counter()
            subprocess.run(command, check=True)
            seconds["edgesr upscale"] = time.perf_counter() - start
            for name, value in seconds.items():
                times[name] += [value] * (run > 0)
    print(f"256x256 -> 1024x1024, {threads} threads, {runs} runs by turns:")
    for name, values in times.items():
        print(f"  {name}: median {statistics.median(values):.2f} s, best {min(values):.2f} s, worst {max(values):.2f} s")
    for name in ("Python", "edgesr upscale"):
        print(f"  browser / {name}: {statistics.median(times['browser']) / statistics.median(times[name]):.1f}")


def enlarge_a_photo(page: Page) -> None:
    stream = io.BytesIO()
    Image.open(ROOT / "examples/coffee.jpg").convert("RGB").resize((4000, 3000), Image.Resampling.BICUBIC).save(stream, "JPEG")
    page.select_option("#format", "PNG")
    page.set_input_files("#files", [{"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": stream.getvalue()}])
    page.wait_for_selector("#queue li:last-child:is([data-state=done], [data-state=failed])", timeout=3_600_000)
    print("4000x3000 -> x4 as PNG:", page.inner_text("#sizes"), page.inner_text("#queue li:last-child .state"))


def take_pictures(browser, address: str, folder: Path) -> None:
    for scheme in ("light", "dark"):
        page = browser.new_page(viewport={"width": 1040, "height": 690}, color_scheme=scheme)
        page.goto(address)
        page.wait_for_selector("#backend[data-ready]")
        for name in ("coffee", "astronaut", "cat"):
            page.set_input_files("#files", [ROOT / f"examples/{name}.jpg"])
            page.wait_for_selector(f"#queue li:has-text('{name}')[data-state=done]")
        page.click("#queue li:last-child .pick")
        page.mouse.move(5, 5)
        page.wait_for_timeout(600)
        shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")  # all colours: fewer would show bands in the result
        shot.save(folder / f"page-{scheme}.png", optimize=True)
        page.close()


if __name__ == "__main__":
    main()
