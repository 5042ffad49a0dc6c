"""What the page could run its network with, by turns in one page: precisions in WASM, and threads against workers.

    python benchmarks/page_engines.py --repeat 25
    python benchmarks/page_engines.py --contenders fp32/1x1 fp32/1x2 fp32/2x1 int8/1x2 int8/2x1 --windows 4 --size 256

Every contender upscales the same windows of `size` x `size` LR px, with the runtime that the page ships (`npm --prefix web ci` first). One
worker with N threads takes the windows in turn; N workers of one thread each share them. Contenders are `MODEL/WORKERSxTHREADS`. The
largest difference of each result from the first contender's is printed beside the times, in levels of 255. Processor time is that of the
whole browser, which other programs disturb less than wall-clock time.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from page import CHROMIUM, FLAGS
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
FOLDERS = {"ort": ROOT / "web/node_modules/onnxruntime-web/dist", "model": ROOT / "src/edgesr/weights"}
FILES = {"fp32": "tiny.onnx", "int8": "tiny-int8.onnx"}
TEXTS = {
    "index.html": "<!doctype html><title>engines</title>",
    "worker.js": """
import * as ort from '/ort/ort.wasm.min.mjs';
let session, feeds, size;
let state = 7;
const uniform = () => ((state = Math.imul(state, 1664525) + 1013904223) >>> 8) / 2 ** 24;
const normal = () => Math.sqrt(-2 * Math.log(uniform() + 1e-7)) * Math.cos(2 * Math.PI * uniform());
async function load({file, threads, side}) {
  size = side;
  ort.env.logLevel = 'error';
  ort.env.wasm.numThreads = threads;
  session = await ort.InferenceSession.create(file, {executionProviders: ['wasm'], graphOptimizationLevel: 'all', enableMemPattern: false});
  const picture = Float32Array.from({length: 3 * size * size}, (_, i) => { // waves and edges of many frequencies, with a little noise
    const [y, x] = [Math.floor(i / size) % size, i % size];
    return 0.5 + 0.3 * Math.sin(x * x / 900 + y / 7) + 0.2 * Math.sign(Math.sin(y / 11 - x / 23));
  });
  const noise = Float32Array.from({length: 16 * size * size / 4}, normal);
  feeds = {lr: new ort.Tensor('float32', picture.map((v) => Math.min(1, Math.max(0, v))), [1, 3, size, size]),
           eps: new ort.Tensor('float32', noise, [1, 16, size / 2, size / 2])};
}
async function work({windows}) {
  let hr;
  for (let i = 0; i < windows; i++) hr = (await session.run(feeds)).hr;
  return hr && Uint8Array.from(hr.data, (value) => Math.round(255 * Math.min(1, Math.max(0, value))));
}
addEventListener('message', async ({data}) => {
  try {
    postMessage({result: await (data.file ? load(data) : work(data))});
  } catch (error) { postMessage({error: String(error)}); }
});
""",
}
START = """async ({contenders, side, windows}) => {
    const ask = (worker, message) => new Promise((resolve, reject) => {
        worker.onmessage = ({data}) => data.error ? reject(new Error(data.error)) : resolve(data.result);
        worker.onerror = (event) => reject(new Error(event.message));
        worker.postMessage(message);
    });
    window.pools = [];
    for (const {file, workers, threads} of contenders) {
        const pool = Array.from({length: workers}, () => new Worker('/worker.js', {type: 'module'}));
        await Promise.all(pool.map((worker) => ask(worker, {file, threads, side})));
        pools.push(pool);
    }
    window.turn = async (at) => {
        const start = performance.now();
        const made = await Promise.all(pools[at].map((worker, i, pool) => ask(worker, {windows: Math.floor((windows + i) / pool.length)})));
        return [performance.now() - start, made.find((result) => result)];
    };
    const results = [];
    for (const at of pools.keys()) results.push((await turn(at))[1]); // warms up
    return results.map((result) => result.reduce((most, value, i) => Math.max(most, Math.abs(value - results[0][i])), 0));
}"""


class Host(SimpleHTTPRequestHandler):
    """Serves TEXTS and FOLDERS with the headers that threads need."""

    extensions_map = SimpleHTTPRequestHandler.extensions_map | {".mjs": "text/javascript", ".wasm": "application/wasm"}

    def translate_path(self, path: str) -> str:
        """Return the file of an address, /FOLDER/NAME."""
        folder, _, name = path.partition("?")[0].strip("/").partition("/")
        return str(FOLDERS.get(folder, Path("/nowhere")) / name)

    def do_GET(self) -> None:
        """Answer with one of TEXTS, else with a file."""
        text = TEXTS.get(self.path.strip("/") or "index.html")
        if text is None:
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/javascript" if self.path.endswith(".js") else "text/html")
        self.end_headers()
        self.wfile.write(text.encode())

    def end_headers(self) -> None:
        """Add the headers to every answer."""
        for name, value in (("Opener", "same-origin"), ("Embedder", "require-corp")):
            self.send_header(f"Cross-Origin-{name}-Policy", value)
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Requests are not of interest."""


def processor_seconds() -> float:
    """Processor time so far of this process's descendants, the browser's."""
    seconds, parents = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            fields = stat.read_text().rpartition(")")[2].split()
            pid = int(stat.parent.name)
            parents[pid], seconds[pid] = int(fields[1]), (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    ours = {os.getpid()}
    while found := {pid for pid, parent in parents.items() if parent in ours} - ours:
        ours |= found
    return sum(seconds[pid] for pid in ours - {os.getpid()} if pid in seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contenders", nargs="+", default=["fp32/1x1", "int8/1x1"], metavar="MODEL/WORKERSxTHREADS")
    parser.add_argument(
        "--model", nargs="+", default=[], metavar="NAME=FILE", help="more models, in src/edgesr/weights or given by a path"
    )
    parser.add_argument("--size", type=int, default=128, help="LR px, sides of a window")
    parser.add_argument("--windows", type=int, default=2, help="a turn")
    parser.add_argument("--repeat", type=int, default=9)
    arguments = parser.parse_args()
    files = {name: f"/model/{file}" for name, file in FILES.items()}
    for number, (name, _, file) in enumerate(text.partition("=") for text in arguments.model):
        FOLDERS[f"model{number}"] = Path(file).resolve().parent
        files[name] = f"/model{number}/{Path(file).name}"
    contenders = []
    for text in arguments.contenders:
        model, _, counts = text.partition("/")
        workers, _, threads = counts.partition("x")
        contenders.append({"file": files[model], "workers": int(workers), "threads": int(threads)})
    options = {"contenders": contenders, "side": arguments.size, "windows": arguments.windows, "repeat": arguments.repeat}
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Host)) as host, sync_playwright() as playwright:
        threading.Thread(target=host.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{host.server_port}/")
        apart = page.evaluate(START, options)
        times: list[list[tuple[float, float]]] = [[] for _ in contenders]
        for _ in range(arguments.repeat):
            for at, taken in enumerate(times):
                before = processor_seconds()
                wall = page.evaluate("async (at) => (await turn(at))[0]", at)
                taken.append((wall, 1000 * (processor_seconds() - before)))
        cores = page.evaluate("navigator.hardwareConcurrency")
        print(f"Chromium {browser.version}, {cores} cores to be had; ", end="")
        print(f"{arguments.windows} windows of {arguments.size}x{arguments.size} LR px a turn, {arguments.repeat} turns")
        host.shutdown()
    first = [statistics.median(column) for column in zip(*times[0], strict=True)]
    heads = ["model/workers x threads", "median, ms", "relative", "processor time, ms", "relative", "largest difference"]
    print(f"| {' | '.join(heads)} |", "|---" * len(heads) + "|", sep="\n")
    for text, taken, most in zip(arguments.contenders, times, apart, strict=True):
        wall, processor = (statistics.median(column) for column in zip(*taken, strict=True))
        print(f"| {text} | {wall:.0f} | {wall / first[0]:.2f} | {processor:.0f} | {processor / first[1]:.2f} | {most} |")


if __name__ == "__main__":
    main()
