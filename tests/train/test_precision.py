"""Precision: what `auto` takes follows from the hardware, and bfloat16 that would have to be emulated is refused."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from photographs import make_folder, write_recipe

from edgesr.errors import UsageError
from edgesr.train import precision, run
from edgesr.train.precision import choose_precision, cpu_abilities

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def with_abilities(monkeypatch, *names):
    monkeypatch.setattr(precision, "cpu_abilities", lambda: dict.fromkeys(names, True))


@pytest.mark.parametrize(
    ("names", "chosen", "word"),
    [
        (("avx2",), "float32", "no fast bfloat16"),
        (("avx2", "avx512_f"), "float32", "no fast bfloat16"),
        (("avx512_f", "avx512_bf16"), "bfloat16", "AVX512_BF16"),
        (("avx512_f", "amx_tile", "amx_bf16"), "bfloat16", "AMX"),
        (("neon", "bf16"), "float32", "no fast bfloat16"),
    ],
)
def test_auto_on_a_cpu_is_what_its_instructions_are_for(monkeypatch, names, chosen, word):
    with_abilities(monkeypatch, *names)
    got = choose_precision("auto", CPU)
    assert got.precision == chosen
    assert word in got.reason
    assert got.autocast(CPU)._enabled is (chosen == "bfloat16")


@pytest.mark.parametrize(("capability", "chosen"), [((7, 5), "float32"), ((8, 0), "bfloat16"), ((9, 0), "bfloat16")])
def test_auto_on_a_gpu_is_bfloat16_from_ampere_on(monkeypatch, capability, chosen):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert choose_precision("auto", CUDA).precision == chosen


def test_what_a_recipe_says_is_taken(monkeypatch):
    with_abilities(monkeypatch, "amx_bf16")
    assert choose_precision("float32", CPU).precision == "float32"
    assert choose_precision("bfloat16", CPU).precision == "bfloat16"


def test_bfloat16_on_a_cpu_without_is_one_line_before_anything_is_read(monkeypatch, tmp_path):
    with_abilities(monkeypatch, "avx2")
    monkeypatch.setattr(run, "_pictures", lambda recipe: pytest.fail("it read the photographs first"))
    recipe = write_recipe(make_folder(tmp_path, count=2), "autoencoder")
    with pytest.raises(UsageError, match="'auto' or 'float32'") as caught:
        run.train(recipe, tmp_path / "out", device="cpu", overrides=["precision=bfloat16"])
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_both_ways_to_ask_the_cpu_agree(monkeypatch):
    """torch's own, and for older ones the flags that Linux lists."""
    names = ("avx2", "avx512_bf16", "amx_bf16")
    asked = [bool(cpu_abilities().get(name)) for name in names]
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    flags = cpu_abilities()
    if not flags:
        pytest.skip("no /proc/cpuinfo here")
    assert [bool(flags.get(name)) for name in names] == asked
