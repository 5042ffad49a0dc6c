"""The page on WebGPU: here on a graphics device in software, slow but real."""

from __future__ import annotations

import pytest
from chromium import CHROMIUM, QUIET
from pictures import difference, photograph
from visits import as_file, drop, pixels_of, saved, wait_for_states

from edgesr import Upscaler

SOFTWARE = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan"]
LOSE = """async () => {
    const ort = await import(new URL('../ort/ort.jspi.min.mjs', location.href));
    (await ort.env.webgpu.device).destroy();
}"""


@pytest.fixture(scope="module")
def gpu_page(browser, server):
    """The page in a browser with WebGPU; the tests are skipped where there is none."""
    flags = [flag for flag in QUIET if flag != "--disable-gpu"]
    with_gpu = browser.browser_type.launch(executable_path=CHROMIUM, args=[*flags, *SOFTWARE])
    page = with_gpu.new_page(accept_downloads=True)
    page.set_default_timeout(120_000)
    page.goto(f"{server}/?backend=webgpu")
    page.wait_for_selector("#backend[data-ready]")
    if page.inner_text("#backend") != "WebGPU":
        pytest.skip(f"no WebGPU here: {page.get_attribute('#backend', 'title')}")
    yield page
    with_gpu.close()


def test_webgpu_gives_the_same_picture_and_wasm_goes_on_when_the_device_is_lost(gpu_page) -> None:
    pixels = photograph(20, 24)
    wanted = Upscaler("tiny", threads=1)(pixels)
    drop(gpu_page, ("first.png", "image/png", as_file(pixels)))
    wait_for_states(gpu_page, "done")
    assert gpu_page.inner_text("#backend") == "WebGPU"
    assert difference(pixels_of(saved(gpu_page, 0)[1]), wanted) <= 2
    gpu_page.workers[0].evaluate(LOSE)
    drop(gpu_page, ("second.png", "image/png", as_file(pixels)))
    wait_for_states(gpu_page, "done", "done")
    assert gpu_page.inner_text("#backend").startswith("WASM")
    assert "continuing with WASM" in gpu_page.get_attribute("#backend", "title")
    assert difference(pixels_of(saved(gpu_page, 1)[1]), wanted) <= 2
