"""What `Upscaler` promises of types and sizes: back comes what was given, of any shape; mistakes are one line."""

from __future__ import annotations

import io
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pictures import difference, gradient, photograph
from PIL import Image

import edgesr
from edgesr import Upscaler, images, presets, upscale
from edgesr.errors import EdgesrError, InputError, UsageError
from edgesr.presets import PRESETS, weights_path
from edgesr.upscaling import checksums, network
from edgesr.upscaling.size import target_size
from edgesr.upscaling.upscaler import loaded


@pytest.fixture(scope="module")
def upscaler():
    return Upscaler(threads=1)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_a_pil_image_comes_back_in_its_mode(upscaler, mode):
    out = upscaler(Image.fromarray(photograph(6, 9)).convert(mode))
    assert (out.mode, out.size) == (mode, (36, 24))


def test_other_pil_modes_come_back_in_the_one_that_holds_them(upscaler):
    palette = Image.new("P", (5, 4))
    palette.putpalette([255, 0, 0, 0, 0, 255])
    assert upscaler(palette).mode == "RGB"
    palette.info["transparency"] = 0
    out = upscaler(palette)
    assert out.mode == "RGBA"
    assert out.getextrema()[3] == (0, 0)
    deep = Image.fromarray(gradient(5, 7, np.uint16)[:, :, 0])
    assert deep.mode == "I;16"
    assert (upscaler(deep).mode, upscaler(deep).size) == ("I;16", (28, 20))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64, np.float16])
@pytest.mark.parametrize("channels", [None, 1, 2, 3, 4])
def test_an_array_comes_back_in_its_type_and_number_of_axes(upscaler, dtype, channels):
    picture = gradient(5, 6, dtype)
    picture = picture[:, :, 0] if channels is None else np.concatenate([picture, picture], axis=2)[:, :, :channels]
    before = picture.copy()
    out = upscaler(picture)
    assert out.dtype == dtype
    assert out.shape == (20, 24, *picture.shape[2:])
    assert np.array_equal(picture, before), "the input was changed"
    if np.issubdtype(dtype, np.floating):
        assert out.min() >= 0
        assert out.max() <= 1


def test_a_path_its_name_its_bytes_its_image_and_its_pixels_give_the_same_picture(upscaler, tmp_path):
    path = tmp_path / "photo.png"
    pixels = photograph(9, 7)
    Image.fromarray(pixels).save(path)
    want = upscaler(pixels)
    for source in (path, str(path), path.read_bytes(), Image.open(path), Image.fromarray(pixels)):
        out = upscaler(source)
        assert isinstance(out, Image.Image)
        assert np.array_equal(np.asarray(out), want)


def test_a_view_is_as_good_as_a_copy(upscaler):
    picture = photograph(20, 14)
    for view in (picture[::-1, ::2], picture.transpose(1, 0, 2), picture[3:9, 2:11, ::-1]):
        assert np.array_equal(upscaler(view), upscaler(np.ascontiguousarray(view)))


def test_depths_agree(upscaler):
    eight = photograph(12, 10)
    out = upscaler(eight, sharpness=0).astype(float)  # which would also sharpen the rounding
    assert difference(out, upscaler(eight.astype(np.uint16) * 257, sharpness=0) / 257) <= 0.51
    assert difference(out, upscaler(eight.astype(np.float32) / 255, sharpness=0) * 255) <= 0.51


def test_sixteen_bits_keep_more_than_256_levels(upscaler):
    out = upscaler(gradient(40, 40, np.uint16))
    assert all(np.unique(out[:, :, channel]).size > 2000 for channel in range(3))


@pytest.mark.parametrize(
    "thing",
    [
        [[1, 2], [3, 4]],
        None,
        np.zeros((4, 4), np.int64),
        np.zeros((4, 4), bool),
        np.zeros((4, 4, 5), np.uint8),
        np.zeros((4,), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
    ],
    ids=lambda thing: f"{type(thing).__name__}{getattr(thing, 'shape', '')}",
)
def test_what_is_no_picture_is_refused_in_one_line(upscaler, thing):
    with pytest.raises(UsageError) as caught:
        upscaler(thing)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_picture_is_named(upscaler, tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("not a picture")
    for source in (path, tmp_path / "none.png"):
        with pytest.raises(InputError, match=source.name):
            upscaler(source)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 9), (9, 1), (3, 5), (4, 4), (5, 8), (2, 130), (131, 3)])
def test_any_size_becomes_four_times_larger(upscaler, height, width):
    picture = photograph(131, 131)[:height, :width]
    out = upscaler(picture)
    assert out.shape == (4 * height, 4 * width, 3)
    assert abs(out.mean() - picture.mean()) < 6  # no padding shows


@pytest.mark.parametrize("scale", [1, 1.0, 1.5, 2, 2.5, 3, 4, 6.25, 8])
def test_any_scale_gives_its_size(upscaler, scale):
    out = upscaler(photograph(7, 10), scale=scale)
    assert out.shape == (round(7 * scale), round(10 * scale), 3)
    assert upscaler(Image.new("LA", (7, 3)), scale=scale).size == (round(7 * scale), round(3 * scale))


def test_every_scale_shows_the_same_picture(upscaler):
    picture = photograph(24, 24)
    four = Image.fromarray(upscaler(picture, sharpness=0))
    for scale in (1, 2.5, 8):
        out = upscaler(picture, scale=scale, sharpness=0)
        assert np.array_equal(out, np.asarray(four.resize(out.shape[1::-1], Image.Resampling.LANCZOS)))


@pytest.mark.parametrize("scale", [0, -4, 0.99, 8.01, float("nan"), float("inf")])
def test_a_scale_out_of_range_is_refused(upscaler, scale):
    with pytest.raises(UsageError, match="give 1 to 8"):
        upscaler(photograph(4, 4), scale=scale)


@pytest.mark.parametrize(
    ("wanted", "size"),
    [
        ({"width": 30}, (30, 18)),
        ({"height": 30}, (50, 30)),
        ({"width": 30, "height": 30}, (30, 18)),
        ({"width": 80, "height": 30}, (50, 30)),
        ({"width": 10}, (10, 6)),
        ({"width": 5}, (5, 3)),
        ({"width": 20, "height": 3}, (5, 3)),
        ({"width": 33}, (33, 20)),
    ],
)
def test_target_sides_are_met_and_the_shape_is_kept(upscaler, wanted, size):
    assert upscaler(Image.fromarray(photograph(6, 10)), **wanted).size == size


def test_target_sides_always_fit_inside():
    for width, height in ((10, 6), (7, 13), (1, 1), (999, 1000)):
        for target_width in (max(1, width // 3), width, width * 2 + 1, width * 5 + 3):
            for target_height in (height, height * 3 + 2, height * 7):
                out = target_size(width, height, None, target_width, target_height)
                assert out[0] <= target_width
                assert out[1] <= target_height
                assert out[0] == target_width or out[1] == target_height


@pytest.mark.parametrize(
    "wanted",
    [{"width": 0}, {"width": 81}, {"height": 0}, {"width": -20}, {"scale": 2, "width": 20}],
)
def test_target_sides_out_of_range_or_beside_a_scale_are_refused(upscaler, wanted):
    with pytest.raises(UsageError) as caught:
        upscaler(photograph(6, 10), **wanted)
    assert "\n" not in str(caught.value)


def test_an_unknown_model_is_refused_with_the_known_ones():
    with pytest.raises(UsageError) as caught:
        Upscaler("huge")
    assert all(name in str(caught.value) for name in PRESETS)


@pytest.mark.parametrize("model", [name for name in PRESETS if not weights_path(name).is_file()])
def test_a_model_without_weights_is_refused_with_those_that_have(model):
    with pytest.raises(UsageError, match=r"no released weights yet; available: .*tiny"):
        Upscaler(model)


@pytest.fixture
def two_forms(tmp_path, monkeypatch):
    """As if the package shipped a fidelity form; the files."""
    pytest.importorskip("onnx")
    from two_forms import make

    monkeypatch.setattr(presets, "WEIGHTS", tmp_path)
    loaded.cache_clear()
    yield make(tmp_path)
    loaded.cache_clear()


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_fidelity_goes_from_one_form_to_the_other(two_forms, engine):
    pytest.importorskip(engine)
    picture = photograph(24, 30)
    crisp, half, true = (
        Upscaler(fidelity=fidelity, engine=engine, threads=1)(picture, sharpness=0).astype(float) for fidelity in (0, 0.5, 1)
    )
    assert np.array_equal(Upscaler(engine=engine, threads=1)(picture, sharpness=0), crisp)
    two_forms.true.replace(two_forms.crisp)  # what ships is now the other form, whole
    assert difference(Upscaler(engine=engine, threads=1)(picture, sharpness=0), true) <= 1
    whole = np.abs(crisp - true).mean()
    assert whole > 1, "nothing to tell the forms apart by"
    assert np.abs(crisp - half).mean() < whole
    assert np.abs(true - half).mean() < whole


def test_each_fidelity_stays_loaded_as_itself(two_forms):
    picture = photograph(12, 12)
    crisp, true = upscale(picture), upscale(picture, fidelity=1)
    assert difference(crisp, true) > 1
    two_forms.crisp.unlink()
    assert np.array_equal(upscale(picture, fidelity=0.0), crisp)
    assert np.array_equal(upscale(picture, fidelity=1.0), true)


def test_fidelity_changes_pixels_and_nothing_else(two_forms):
    stream = io.BytesIO()
    Image.fromarray(photograph(4, 4)).save(stream, "PNG", dpi=(300, 300))
    crisp, true = (upscale(stream.getvalue(), fidelity=fidelity) for fidelity in (0, 1))
    assert (true.info, true.mode, true.size) == (crisp.info, crisp.mode, crisp.size)


@pytest.mark.parametrize(
    ("options", "call", "words"),
    [
        ({}, {"scale": "4"}, "scale '4': give a number"),
        ({}, {"scale": True}, "scale True"),
        ({}, {"width": "9"}, "width '9': give a whole number"),
        ({}, {"height": 9.5}, "height 9.5: give a whole number"),
        ({"seed": "a"}, {}, "seed 'a'"),
        ({"seed": None}, {}, "seed None"),
        ({"seed": 1.5}, {}, "seed 1.5"),
        ({"engine": None}, {}, "engine None"),
        ({"model": ["tiny"]}, {}, "unknown model"),
        ({"weights": b"x"}, {}, "weights: give the path of an ONNX file, not a bytes"),
        ({"fidelity": True}, {}, "fidelity 'True'"),
    ],
)
def test_arguments_of_a_wrong_type_are_refused(options, call, words):
    with pytest.raises(UsageError) as caught:
        Upscaler(**options)(photograph(4, 4), **call)
    assert words in str(caught.value)


def test_numbers_of_numpy_are_numbers(upscaler):
    assert upscaler(photograph(4, 4), scale=np.float32(2)).shape == (8, 8, 3)
    assert upscaler(photograph(4, 4), width=np.int64(8)).shape == (8, 8, 3)


@pytest.mark.parametrize("size", [(0, 0), (0, 5), (5, 0)])
def test_an_image_without_pixels_is_refused(upscaler, size):
    with pytest.raises(EdgesrError, match=f"{size[0]}x{size[1]} pixels"):
        upscaler(Image.new("RGB", size))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_array_with_a_value_that_is_no_number_is_refused(upscaler, value):
    pixels = photograph(8, 8).astype(np.float32) / 255
    pixels[3, 4, 1] = value
    with pytest.raises(UsageError, match="not finite"):
        upscaler(pixels)


def test_a_network_that_gives_no_numbers_is_an_error(monkeypatch):
    upscaler = Upscaler(threads=1)
    network = upscaler._windows.network

    def broken(lr, eps):
        hr = network.engine(lr, eps).copy()
        hr[0, 1, 2, 3] = np.nan
        return hr

    broken.description = "broken"
    monkeypatch.setattr(upscaler, "_windows", replace(upscaler._windows, network=network._replace(engine=broken)))
    with pytest.raises(EdgesrError, match="not finite"):
        upscaler(photograph(8, 8))


def test_a_released_file_that_was_damaged_is_not_loaded(two_forms):
    shutil.copy(Path(edgesr.__file__).parent / "weights" / checksums.LIST, two_forms.crisp.parent)
    two_forms.true.replace(two_forms.crisp)
    with pytest.raises(EdgesrError, match=r"tiny\.onnx: damaged"):  # the list is of the files that ship, these are others
        Upscaler()
    checksums.renew(two_forms.crisp)
    Upscaler()
    with pytest.raises(EdgesrError, match=r"tiny-fidelity\.npz: damaged"):
        Upscaler(fidelity=1)


@pytest.mark.parametrize(
    ("name", "words"), [("wrong_io", "not a network"), ("wrong_size", "its output is 1x3x16x16"), ("nan", "not finite")]
)
def test_weights_of_another_network_are_refused_before_the_first_picture(name, words):
    file = Path(__file__).parents[2] / "shared" / "cases" / f"{name}.onnx"
    if not file.is_file():
        pytest.skip("the files are not here")
    with pytest.raises(EdgesrError, match=words) as caught:
        Upscaler(weights=file)
    assert str(caught.value).startswith(str(file))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("fidelity", [-0.01, 1.01, float("nan"), float("inf"), "high", None])
def test_a_wrong_fidelity_is_refused(fidelity):
    with pytest.raises(UsageError, match=r"fidelity .* from 0 \(crisp\) to 1") as caught:
        Upscaler(fidelity=fidelity)
    assert "\n" not in str(caught.value)


def test_a_model_of_one_form_has_no_other_fidelity(two_forms):
    two_forms.difference.unlink()
    with pytest.raises(UsageError, match="'tiny' has one form only") as caught:
        Upscaler(fidelity=0.5)
    assert "\n" not in str(caught.value)
    Upscaler(fidelity=0)


@pytest.mark.parametrize("model", [name for name in PRESETS if presets.difference_path(name).is_file()])
def test_a_fidelity_form_that_ships_belongs_to_the_weights_that_ship(model):
    assert Upscaler(model, fidelity=1, threads=1)(photograph(4, 4)).shape == (16, 16, 3)


def test_a_fidelity_form_of_other_weights_is_refused_and_the_default_goes_on(two_forms):
    two_forms.true.replace(two_forms.crisp)
    with pytest.raises(EdgesrError, match="tiny-fidelity"):
        Upscaler(fidelity=0.5)
    assert Upscaler(threads=1)(photograph(4, 4)).shape == (16, 16, 3)


@pytest.mark.parametrize("tile", [0, 15, -64, "large", "", None, float("nan"), float("inf")])
def test_a_wrong_tile_is_refused(tile):
    with pytest.raises(UsageError, match="tile"):
        Upscaler(tile=tile)


def test_the_engine_in_use_is_named(upscaler):
    assert upscaler.engine == "onnxruntime (CPUExecutionProvider, 1 thread)"


def test_openvino_gives_the_same_picture(upscaler):
    pytest.importorskip("openvino")
    for picture in (photograph(60, 76), gradient(60, 76)):
        assert difference(Upscaler(engine="openvino", threads=1)(picture), upscaler(picture)) <= 1


def test_metadata_of_a_file_is_kept(upscaler):
    stream = io.BytesIO()
    Image.fromarray(photograph(4, 4)).save(stream, "PNG", dpi=(300, 300))
    assert upscaler(stream.getvalue()).info["dpi"] == pytest.approx((300, 300), abs=0.1)


def test_the_papers_plan_is_25_tiles_for_512_px_and_nearly_the_exact_picture():
    rng = np.random.default_rng(0)
    small = np.asarray(
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).resize((512, 512), Image.Resampling.BICUBIC)
    )
    done = []
    picture = images.from_pil(Image.fromarray(small))
    blended = Upscaler(tile="blended").upscale_picture(picture, progress=done.append).pixels
    assert len(done) == 25
    exact = Upscaler().upscale_picture(picture).pixels
    off = np.abs(blended.astype(int) - exact)  # tiles know nothing of what lies beyond their rim
    assert 0 < off.max() <= 8
    assert off.mean() < 0.1
    assert np.array_equal(Upscaler(tile="blended")(small[:128, :128]), Upscaler()(small[:128, :128]))


def test_paper_is_another_name_of_the_blended_plan():
    small = np.random.default_rng(0).integers(0, 256, (20, 136, 3), np.uint8)
    assert np.array_equal(Upscaler(tile="paper")(small), Upscaler(tile="blended")(small))


@pytest.mark.parametrize("wrong", [{"tile": 3}, {"memory": 1}, {"seed": "a"}])
def test_a_wrong_argument_is_told_before_a_network_is_loaded(monkeypatch, wrong):
    monkeypatch.setattr(network, "load", lambda *_, **__: pytest.fail("it was loaded"))
    with pytest.raises(UsageError):
        Upscaler(**wrong)
