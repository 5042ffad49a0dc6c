"""Networks of ncnn's format as torch modules: against ncnn itself, and what is refused; teachers by name and by file."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from edgesr.errors import UsageError
from edgesr.pretrained.ncnn_network import load_ncnn
from edgesr.pretrained.teachers import load_teacher, taught

SHARED = Path(os.environ.get("EDGESR_SHARED", Path(__file__).parents[3] / "shared"))
NEAREST = "7767517\n2 2\nInput in 0 1 data\nInterp up 1 1 data output 0=1 1=4.0 2=4.0\n"
EVERYTHING = """7767517
12 15
Input         in    0 1 data
Split         s     1 2 data d1 d2
Convolution   c1    1 1 d1 a 0=8 1=3 4=1 5=1 6=216 9=2 -23310=1,2.0e-01
Split         s2    1 2 a a1 a2
PReLU         p     1 1 a1 b 0=8
Convolution   c2    1 1 b c 0=8 1=3 4=1 5=0 6=576 9=1
Eltwise       e     2 1 c a2 e 0=1 -23301=2,2.0e-01,1.0e+00
Concat        k     2 1 e d2 f
Convolution   c3    1 1 f g 0=48 1=1 5=1 6=528
PixelShuffle  ps    1 1 g h 0=4
Interp        up    1 1 data2 i 0=2 1=4.0 2=4.0
BinaryOp      add   2 1 h i output 0=0
"""


def write(folder: Path, text: str, weights: bytes = b"", name: str = "net") -> Path:
    (folder / f"{name}.param").write_text(text)
    (folder / f"{name}.bin").write_bytes(weights)
    return folder / name


def everything(folder: Path) -> Path:
    """A network with every kind of layer, its weights at random: the first convolution's in halves."""
    text = EVERYTHING.replace("d1 d2", "d1 d2 data2").replace("s     1 2", "s     1 3")
    rng = np.random.default_rng(0)

    def floats(count: int) -> bytes:
        return rng.normal(0, 0.2, count).astype(np.float32).tobytes()

    parts = [
        (0x01306B47).to_bytes(4, "little") + rng.normal(0, 0.2, 216).astype(np.float16).tobytes() + floats(8),
        floats(8),
        bytes(4) + floats(576),
        bytes(4) + floats(528) + floats(48),
    ]
    return write(folder, text, b"".join(parts))


def by_ncnn(path: Path, x: np.ndarray) -> np.ndarray:
    ncnn = pytest.importorskip("ncnn")
    net = ncnn.Net()
    assert net.load_param(f"{path}.param") == 0
    assert net.load_model(f"{path}.bin") == 0
    with net.create_extractor() as extractor:
        extractor.input("data", ncnn.Mat(x).clone())
        return np.array(extractor.extract("output")[1])


def test_every_layer_computes_what_ncnn_computes(tmp_path):
    path = everything(tmp_path)
    x = np.random.default_rng(1).random((3, 9, 12), np.float32)
    mine = load_ncnn(path)(torch.from_numpy(x)[None])[0].numpy()
    assert mine.shape == (3, 36, 48)
    assert np.abs(mine - by_ncnn(path, x)).max() < 2e-3 * np.abs(mine).max()  # ncnn may compute in halves


def test_a_released_upscaler_gives_ncnns_pictures():
    path = SHARED / "peers" / "RealESRGAN_General_x4_v3"
    if not path.with_suffix(".param").is_file():
        pytest.skip("the peers' weights are not here")
    x = np.random.default_rng(2).random((3, 24, 32), np.float32) * 0.2 + 0.4
    teacher = load_teacher("General_x4_v3", SHARED / "peers")
    mine = taught(teacher, torch.from_numpy(x)[None])[0].numpy()
    error = np.square(mine - by_ncnn(path, x).clip(0, 1)).mean()
    assert -10 * np.log10(error) > 45
    assert teacher.licence == "BSD-3-Clause"


@pytest.mark.parametrize(
    ("text", "weights", "message"),
    [
        ("", b"", "not a parameter file"),
        (NEAREST.replace("Interp up", "Deconvolution up"), b"", "its layer up is a Deconvolution"),
        (NEAREST + "Convolution c 1 1 output z 0=3 1=3 4=1 5=1 6=81\n", b"", "does not hold the weights"),
        (NEAREST, b"1234", "4 bytes more"),
        (NEAREST + "Convolution c 1 1 output z 0=3 1=3 3=2 4=1 6=81\n", bytes(328), "strided"),
        (NEAREST.replace("1=4.0 2=4.0", "1=2.0 2=2.0"), b"", "must enlarge RGB by 4"),
    ],
)
def test_what_is_no_teacher_is_refused_in_one_line(tmp_path, text, weights, message):
    path = write(tmp_path, text, weights)
    with pytest.raises(UsageError, match=message) as caught:
        load_teacher(f"{path}.param")
    assert "\n" not in str(caught.value)


def test_a_missing_file_or_name_is_told(tmp_path):
    for name, message in (
        ("nobody", "unknown teacher 'nobody': choose one of realesrgan-x4plus"),
        (f"{tmp_path}/none.param", "No such file"),
        (f"{tmp_path}/none.pth", "no such file"),
        ("General_x4_v3", "--weights DIR must hold RealESRGAN_General_x4_v3.param"),
    ):
        with pytest.raises(UsageError, match=message):
            load_teacher(name)
    (tmp_path / "notes.txt").write_text("no network")
    with pytest.raises(UsageError, match="not a teacher"):
        load_teacher(f"{tmp_path}/notes.txt")


def test_a_file_that_spandrel_loads_teaches(tmp_path):
    """Of an architecture of its own that is built here with random weights, so that no file of others is needed."""
    try:
        from spandrel.architectures.Compact import SRVGGNetCompact
    except Exception as error:
        pytest.skip(f"spandrel does not import here: {error}")
    net = SRVGGNetCompact(3, 3, num_feat=8, num_conv=2, upscale=4)
    torch.save(net.state_dict(), tmp_path / "compact.pth")
    lr = torch.rand(1, 3, 8, 8)
    result = taught(load_teacher(str(tmp_path / "compact.pth")), lr)
    assert torch.allclose(result, net(lr).clamp(0, 1), atol=1e-5)
    torch.save({"a": torch.zeros(1)}, tmp_path / "strange.pth")
    with pytest.raises(UsageError, match="spandrel cannot load it"):
        load_teacher(str(tmp_path / "strange.pth"))
