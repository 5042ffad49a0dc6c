"""The page in a real browser: what it makes is what `edgesr upscale` makes, and nothing that goes wrong costs anything else."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
from golden import FILE, golden
from pictures import difference, photograph
from PIL import Image
from visits import as_file, drop, pixels_of, saved, serving, states, wait_for_states

from edgesr import Upscaler

ROOT = Path(__file__).parents[2]
TIMES = "\N{MULTIPLICATION SIGN}"
TOLERANCE = 2  # levels of 255


@pytest.fixture(scope="module")
def upscalers():
    return {fidelity: Upscaler("tiny", fidelity=fidelity, threads=2) for fidelity in (0.0, 1.0)}


def choose(page, *, scale=4, fidelity=0.0, sharpness=None, format="PNG"):
    page.check(f"input[name=scale][value='{scale}']", force=True)
    for name, value in (("fidelity", fidelity), ("sharpness", sharpness)):
        if value is None:
            continue
        page.evaluate(
            "([name, value]) => { window[name].value = value; window[name].dispatchEvent(new Event('input', {bubbles: true})) }",
            [name, str(value)],
        )
    page.select_option("#format", format)


def mean_difference(a, b):
    return np.abs(a.astype(float) - b).mean()


def test_the_values_that_the_pages_own_tests_compare_with_are_those_of_this_package() -> None:
    assert json.loads(FILE.read_text()) == json.loads(json.dumps(golden())), "run python tests/serve/golden.py"


def test_the_pages_own_tests_pass(built_page) -> None:
    command = [shutil.which("npm"), "--prefix", str(ROOT / "web"), "test"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_results_are_those_of_the_command_line(open_page, server, upscalers) -> None:
    """One page, several pictures: colour in two tiles and more, odd sides, grey, transparency; other scales, the other form, sharpened."""
    page = open_page(server)
    rng = np.random.default_rng(0)
    shade = np.linspace(0, 255, 40 * 30).reshape(40, 30, 1).astype(np.uint8)
    see_through = np.concatenate([photograph(40, 30), np.where(shade < 30, 0, shade)], axis=2)
    see_through[:8, :8, :3] = rng.integers(0, 256, (8, 8, 3))
    cases = [
        (photograph(521, 530), {}),
        (photograph(33, 47), {"scale": 6, "fidelity": 1.0}),
        (photograph(37, 41)[:, :, 0], {}),
        (photograph(33, 47), {"scale": 3, "sharpness": 1}),  # by default less, until it is set
        (see_through, {"scale": 2, "sharpness": 0.5}),
    ]
    for number, (pixels, options) in enumerate(cases):
        choose(page, **options)
        drop(page, (f"{number}.png", "image/png", as_file(pixels)))
    wait_for_states(page, *["done"] * len(cases))
    for number, (pixels, options) in enumerate(cases):
        wanted = upscalers[options.get("fidelity", 0.0)](
            pixels, scale=options.get("scale", 4), sharpness=options.get("sharpness")
        )
        name, data = saved(page, number)
        assert name == f"{number}_{options.get('scale', 4)}x.png"
        got = pixels_of(data)
        assert got.shape == wanted.shape
        assert difference(got, wanted) <= TOLERANCE, (number, difference(got, wanted))


def test_the_fast_model_is_the_8_bit_one_and_is_fetched_alone(open_page, server, upscalers) -> None:
    """The choice is kept for the next visit; between the two ends of the look there is no such model."""
    page = open_page(server)
    page.click("summary")
    page.select_option("#model", "fast")
    asked = []
    page.on("request", lambda request: asked.append(request.url.rpartition("/")[2]))
    page.reload()
    page.wait_for_selector("#backend[data-ready]")
    picture = photograph(33, 47)
    for line, fidelity in enumerate((0.0, 1.0)):
        choose(page, fidelity=fidelity)
        assert page.input_value("#model") == "fast"
        drop(page, ("a.png", "image/png", as_file(picture)))
        wait_for_states(page, *["done"] * (line + 1))
        got, wanted = pixels_of(saved(page, line)[1]), Upscaler("tiny", precision="int8", fidelity=fidelity)(picture)
        assert difference(got, wanted) <= 12
        assert 3 * mean_difference(got, wanted) < mean_difference(got, upscalers[fidelity](picture))
    assert {name for name in asked if "tiny" in name} == {"tiny-int8.onnx", "tiny-fidelity-int8.onnx"}
    choose(page, fidelity=0.5)
    assert (page.input_value("#model"), page.is_disabled("#model")) == ("best", True)
    page.click("#redo")
    page.wait_for_function("() => document.querySelectorAll('#right option').length === 2")
    names = page.locator("#right option").all_inner_texts()
    assert names == [f"4{TIMES} · faithful · fast · PNG", f"4{TIMES} · look 0.5 · PNG"]


def test_a_jpeg_stays_a_jpeg_upright_with_its_exif_and_profile(open_page, server, small, upscalers) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "A Camera"
    icc = b"".join([bytes(36), b"acsp", bytes(100)])
    data = as_file(small, "JPEG", exif=exif, icc_profile=icc, quality=95)
    page = open_page(server)
    drop(page, ("holiday.jpg", "image/jpeg", data))
    wait_for_states(page, "done")
    name, result = saved(page)
    assert name == "holiday_4x.jpg"
    image = Image.open(io.BytesIO(result))
    assert (image.format, image.size) == ("JPEG", (48 * 4, 72 * 4))
    assert (image.getexif()[0x0112], image.getexif()[0x010F], image.info["icc_profile"]) == (1, "A Camera", icc)
    wanted = np.asarray(upscalers[0.0](data).convert("RGB"))
    assert np.abs(np.asarray(image).astype(float) - wanted).mean() < 2  # the codec's loss on both sides


def test_it_shows_the_picture_at_once_and_says_what_runs_it(open_page, server, small) -> None:
    page = open_page(server)
    assert page.inner_text("#backend").startswith("WASM · ")
    page.evaluate("""() => {
        window.shown = null;
        const start = () => { const t = performance.now(); const look = () => {
            const image = document.querySelector('#before img');
            if (image.complete && image.naturalWidth && !viewer.hidden) window.shown = performance.now() - t;
            else requestAnimationFrame(look); }; look(); };
        files.addEventListener('change', start, {once: true, capture: true}); }""")
    drop(page, ("a.png", "image/png", as_file(photograph(250, 250))))
    page.wait_for_function("() => window.shown !== null")
    assert page.evaluate("window.shown") < 1000


def test_a_bad_file_names_its_reason_and_the_queue_goes_on(open_page, server, small) -> None:
    page = open_page(server)
    good = as_file(small)
    frames = [Image.fromarray(small), Image.fromarray(255 - small)]
    stream = io.BytesIO()
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:])
    drop(
        page,
        ("cut.png", "image/png", good[: len(good) // 3]),
        ("moving.gif", "image/gif", stream.getvalue()),
        ("notes.txt", "text/plain", b"no picture"),
        ("empty.jpg", "image/jpeg", b""),
        ("camera.tif", "image/tiff", as_file(small, "TIFF")),
        ("good.png", "image/png", good),
    )
    page.wait_for_selector("#queue li:last-child[data-state=done]")
    texts = page.eval_on_selector_all("#queue li .state", "all => all.map(one => one.textContent)")
    for text, word in zip(texts, ("damaged", "animation", "unsupported", "empty", "TIFF"), strict=False):
        assert word in text
    assert states(page) == ["failed"] * 5 + ["done"]


@pytest.mark.parametrize("damaged_first", [False, True])
def test_a_damaged_file_leaves_the_good_picture_on_the_stage(open_page, server, damaged_first) -> None:
    page = open_page(server)
    cat = (ROOT / "examples/cat.jpg").read_bytes()
    files = [("cat.jpg", "image/jpeg", cat), ("cut.jpg", "image/jpeg", cat[: len(cat) // 2])]
    drop(page, *(reversed(files) if damaged_first else files))
    wait_for_states(page, *(["failed", "done"] if damaged_first else ["done", "failed"]))
    failed = page.locator("#queue li[data-state=failed]")
    page.wait_for_function("() => save.download === 'cat_4x.jpg'")
    assert page.inner_text("#queue li:has([aria-current=true]) .name") == "cat.jpg"
    assert page.is_visible("#save") and page.is_visible("#after img")
    assert page.text_content("#zoom") != "0%"
    assert page.locator("#area").bounding_box()["height"] > 200
    assert failed.locator(".name").inner_text() == "cut.jpg"
    assert "damaged JPEG" in failed.locator(".state").inner_text()
    failed.locator(".pick").click()
    assert page.inner_text("#failure").startswith("cut.jpg: damaged JPEG")
    assert page.is_hidden("#zoom")
    page.locator("#queue li[data-state=done] .pick").click()
    page.wait_for_function("() => zoom.textContent !== '0%' && !save.hidden && failure.hidden")


def test_a_large_photo_shows_tiles_and_time_left_and_can_be_cancelled(open_page, server, small) -> None:
    page = open_page(server)
    large = as_file(np.asarray(Image.fromarray(photograph(300, 400)).resize((4000, 3000))), "JPEG")
    drop(page, ("12-megapixels.jpg", "image/jpeg", large), ("next.png", "image/png", as_file(small)))
    page.wait_for_function("() => eta.textContent.includes('left')", timeout=120_000)
    assert "12000 px" in page.inner_text("#sizes")
    assert 0 < page.eval_on_selector("#bar", "bar => bar.value") < 0.5
    page.click("#stop")
    page.wait_for_selector("#queue li:first-child[data-state=cancelled]", timeout=2000)
    wait_for_states(page, "cancelled", "done")


def test_without_memory_it_tries_smaller_tiles_then_says_so_and_goes_on(open_page, server, small) -> None:
    page = open_page(server)
    page.evaluate("""() => {
        const send = Worker.prototype.postMessage; window.windows = [];
        Worker.prototype.postMessage = function (message, ...rest) {
            if (message.kind !== 'run' || message.job.file.name !== 'large.png') return send.call(this, message, ...rest);
            windows.push(message.job.windowPixels);
            const data = {kind: 'failed', id: message.job.id, failure: 'memory', reason: 'std::bad_alloc'};
            setTimeout(() => this.dispatchEvent(new MessageEvent('message', {data})));
        }; }""")
    drop(page, ("large.png", "image/png", as_file(small)), ("next.png", "image/png", as_file(small)))
    wait_for_states(page, "failed", "done")
    tried = page.evaluate("windows")
    assert tried == sorted(tried, reverse=True) and len(set(tried)) == 3
    assert "not enough memory" in page.inner_text("#queue li:first-child .state")


def test_a_worker_that_dies_is_replaced(open_page, server, small) -> None:
    page = open_page(server)
    page.evaluate("""() => {
        const send = Worker.prototype.postMessage; let killed = false;
        Worker.prototype.postMessage = function (message, ...rest) {
            if (message.kind !== 'run' || killed) return send.call(this, message, ...rest);
            killed = true;
            setTimeout(() => this.dispatchEvent(new ErrorEvent('error', {message: 'gone', cancelable: true})));
        }; }""")
    drop(page, ("a.png", "image/png", as_file(small)))
    wait_for_states(page, "done")


def test_other_settings_can_be_applied_to_a_picture_that_is_done(open_page, server, small) -> None:
    page = open_page(server)
    drop(page, ("a.png", "image/png", as_file(small)))
    wait_for_states(page, "done")
    assert page.is_hidden("#redo")
    choose(page, scale=2, format="WEBP")
    page.click("#redo")
    page.wait_for_function("() => save.download === 'a_2x.webp'")
    name, data = saved(page)
    assert (name, Image.open(io.BytesIO(data)).size) == ("a_2x.webp", (144, 96))
    earlier = page.locator("#left option").all_inner_texts()
    assert earlier == ["Before", f"4{TIMES} · crisp", f"2{TIMES} · crisp · WEBP"]
    area, save = (page.locator(selector).bounding_box() for selector in ("#area", "#save"))
    assert save["x"] + save["width"] == pytest.approx(area["x"] + area["width"], abs=2)  # Download stays in its corner
    page.select_option("#left", f"2{TIMES} · crisp · WEBP")
    page.select_option("#right", f"4{TIMES} · crisp")
    shown = "image => image.decode().then(() => image.naturalWidth)"
    assert [page.eval_on_selector(f"#{half} img", shown) for half in ("before", "after")] == [144, 288]
    assert page.inner_text(".tag.left") == f"2{TIMES} · crisp · WEBP"
    assert saved(page)[0] == "a_4x.png"


def test_a_failure_with_other_settings_leaves_the_earlier_result(open_page, server, small) -> None:
    page = open_page(server)
    choose(page)
    drop(page, ("a.png", "image/png", as_file(small)))
    wait_for_states(page, "done")
    page.check("input[name=scale][value=px]", force=True)
    page.fill("#width", "5000")
    page.click("#redo")
    page.wait_for_function(f"() => sizes.textContent.includes('at most 576 {TIMES} 384 px')")
    assert states(page) == ["done"] and saved(page)[0] == "a_4x.png"


def test_the_server_upscales_where_that_is_asked_for(open_page, built_page, small, upscalers) -> None:
    with serving("--token", "secret") as (address, _):
        page = open_page(address)
        sent = []
        page.on("request", lambda request: request.method == "POST" and sent.append(request.url))
        page.click("summary")
        page.check("#on-server")
        assert "sent" in page.inner_text("#network")
        choose(page, scale=2)
        page.fill("#token", "secret")
        drop(page, ("a.png", "image/png", as_file(small)), ("b.tif", "image/tiff", as_file(small, "TIFF")))
        wait_for_states(page, "done", "done")
        for line in (0, 1):
            name, data = saved(page, line)
            assert name == f"{'ab'[line]}_2x.png"
            assert difference(pixels_of(data), upscalers[0.0](small, scale=2)) <= TOLERANCE
        assert len(sent) == 2 and all(url.startswith(f"{address}/v1/upscale?") for url in sent)
        page.uncheck("#on-server")
        drop(page, ("c.png", "image/png", as_file(small)))
        wait_for_states(page, "done", "done", "done")
        assert len(sent) == 2 and "Nothing is uploaded" in page.inner_text("#network")


def test_sizes_in_px_quality_and_removal_of_metadata_are_those_of_the_package(open_page, server, small, upscalers) -> None:
    exif = Image.Exif()
    exif[0x010F] = "A Camera"
    page = open_page(server)
    page.check("input[name=scale][value=px]", force=True)
    page.select_option("#format", "PNG")
    for width, height in ((100, None), (200, 60), (30, None)):
        page.fill("#width", str(width))
        page.fill("#height", str(height or ""))
        drop(page, ("a.png", "image/png", as_file(small)))
    wait_for_states(page, "done", "done", "done")
    for line, options in enumerate(({"width": 100}, {"width": 200, "height": 60}, {"width": 30})):
        wanted = upscalers[0.0](small, **options)
        name, data = saved(page, line)
        assert name == f"a_{wanted.shape[1]}x{wanted.shape[0]}.png"
        assert difference(pixels_of(data), wanted) <= TOLERANCE
    choose(page, format="JPEG")
    page.click("summary")
    page.check("#strip")
    for quality in ("20", "90"):
        page.fill("#quality", quality)
        drop(page, ("b.jpg", "image/jpeg", as_file(small, "JPEG", exif=exif)))
    wait_for_states(page, *["done"] * 5)
    low, high = (saved(page, line)[1] for line in (3, 4))
    assert len(low) < len(high) / 2
    assert not Image.open(io.BytesIO(high)).getexif()


def test_it_falls_back_where_webgpu_does_not_work(browser, open_page, server, small) -> None:
    page = open_page(server, query="?backend=webgpu")
    drop(page, ("a.png", "image/png", as_file(small)))
    wait_for_states(page, "done")
    assert page.inner_text("#backend").startswith(("WASM", "WebGPU"))


def test_pictures_can_be_dropped_and_pasted(open_page, server, small) -> None:
    page = open_page(server)
    give = """([kind, name, bytes]) => {
        const carried = new DataTransfer();
        carried.items.add(new File([new Uint8Array(bytes)], name, {type: 'image/png'}));
        const made = kind === 'paste' ? new ClipboardEvent('paste', {clipboardData: carried, cancelable: true, bubbles: true})
            : new DragEvent(kind, {dataTransfer: carried, cancelable: true, bubbles: true});
        document.body.dispatchEvent(made);
    }"""
    data = list(as_file(small))
    page.evaluate(give, ["dragenter", "a.png", data])
    assert page.is_visible("#drop")
    page.evaluate(give, ["drop", "a.png", data])
    page.evaluate(give, ["paste", "b.png", data])
    assert page.is_hidden("#drop")
    wait_for_states(page, "done", "done")
    assert [saved(page, line)[0] for line in (0, 1)] == ["a_4x.png", "b_4x.png"]


def test_all_results_are_downloaded_as_one_zip_file(open_page, server, small) -> None:
    page = open_page(server)
    drop(page, *((name, "image/png", as_file(small)) for name in ("a.png", "b.png", "a.png")))
    wait_for_states(page, "done", "done", "done")
    with page.expect_download() as download:
        page.click("#save-all")
    assert download.value.suggested_filename == "edgesr.zip"
    with zipfile.ZipFile(download.value.path()) as archive:
        assert archive.namelist() == ["a_4x.png", "b_4x.png", "a_4x (2).png"]
        assert archive.testzip() is None
        assert archive.read("a_4x.png") == saved(page)[1]


def test_a_folder_can_be_dropped(open_page, server, small, tmp_path) -> None:
    folder = tmp_path / "holiday"
    for name in ("b10.png", "b9.png", "more/a.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(small).save(folder / name)
    (folder / "notes.txt").write_text("no picture")
    page = open_page(server)
    protocol = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(folder)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        protocol.send("Input.dispatchDragEvent", {"type": kind, "x": 300, "y": 300, "data": data})
    wait_for_states(page, "done", "done", "done")
    with page.expect_download() as download:
        page.click("#save-all")
    with zipfile.ZipFile(download.value.path()) as archive:
        assert archive.namelist() == ["holiday/b9_4x.png", "holiday/b10_4x.png", "holiday/more/a_4x.jpg"]


def test_a_result_can_be_copied_and_shared(open_page, server, small) -> None:
    record = """window.shared = []; navigator.canShare = () => true;
        navigator.share = async ({files}) => shared.push(...files.map(({name, type}) => [name, type]));"""
    page = open_page(server, permissions=["clipboard-read", "clipboard-write"], script=record)
    drop(page, ("a.jpg", "image/jpeg", as_file(small, "JPEG", quality=95)))
    wait_for_states(page, "done")
    page.click("#share")
    assert page.evaluate("shared") == [["a_4x.jpg", "image/jpeg"]]
    page.click("#copy")
    page.wait_for_function("() => sizes.textContent === 'copied'")
    copied = page.evaluate("""async () => {
        const [item] = await navigator.clipboard.read();
        const picture = await createImageBitmap(await item.getType('image/png'));
        return [picture.width, picture.height]; }""")
    assert copied == [288, 192]


def test_pictures_that_another_app_shares_are_taken(open_page, server, small) -> None:
    page = open_page(server)
    page.wait_for_function("() => navigator.serviceWorker.controller !== null")
    page.evaluate(
        """async (bytes) => {
            const form = new FormData();
            form.append('pictures', new File([new Uint8Array(bytes)], 'ü 1.png', {type: 'image/png'}));
            await fetch('./share', {method: 'POST', body: form, redirect: 'manual'}); }""",
        list(as_file(small)),
    )
    page.goto(f"{server}/?shared")
    wait_for_states(page, "done")
    assert saved(page)[0] == "ü 1_4x.png"
    page.reload()
    page.wait_for_selector("#backend[data-ready]")
    assert states(page) == []


def test_the_system_offers_the_page_to_open_and_to_share_pictures(open_page, server, small) -> None:
    """Chromium finds no fault in the manifest; a file that the system opens, by a real handle, is upscaled."""
    queue = "LaunchQueue.prototype.setConsumer = (open) => { window.systemOpens = open; };"
    page = open_page(server, script=queue)
    protocol = page.context.new_cdp_session(page)
    faults = protocol.send("Page.getInstallabilityErrors")["installabilityErrors"]
    assert {fault["errorId"] for fault in faults} <= {"in-incognito"}  # as every window of these tests is
    manifest = protocol.send("Page.getAppManifest")
    assert manifest["errors"] == []
    described = json.loads(manifest["data"])
    assert described["share_target"]["params"]["files"][0]["accept"] == ["image/*"]
    assert {"image/png", "image/jpeg", "image/webp"} <= set(described["file_handlers"][0]["accept"])
    page.evaluate(
        """async (bytes) => {
            const handle = await (await navigator.storage.getDirectory()).getFileHandle('opened.png', {create: true});
            const stream = await handle.createWritable();
            await stream.write(new Uint8Array(bytes));
            await stream.close();
            await systemOpens({files: [handle]}); }""",
        list(as_file(small)),
    )
    wait_for_states(page, "done")
    assert saved(page)[0] == "opened_4x.png"


def test_a_blurred_preview_fills_the_stage_until_tiles_come(open_page, server) -> None:
    page = open_page(server)
    large = np.asarray(Image.fromarray(photograph(60, 80)).resize((1600, 1200)))
    drop(page, ("a.png", "image/png", as_file(large)))
    page.wait_for_selector("#queue li[data-state=working]")
    page.wait_for_selector("#after img.early")
    assert page.eval_on_selector("#after img", "image => image.naturalWidth") == 1600
    page.click("#stop")
