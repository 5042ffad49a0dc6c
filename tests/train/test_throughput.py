"""FLOPs against their closed forms, peaks against datasheets, and shares that a clock and real products bear out."""

from __future__ import annotations

import time
import warnings

import pytest

torch = pytest.importorskip("torch")

from edgesr.model import build
from edgesr.presets import get_preset
from edgesr.train import throughput
from edgesr.train.throughput import Throughput, measured_peak, peak_flops, step_flops, vendor_peak

CPU = torch.device("cpu")
TERA = 1e12


def convolution(needs_input_gradient):
    layer = torch.nn.Conv2d(8, 16, 3, padding=1)
    x = torch.randn(2, 8, 20, 24, requires_grad=needs_input_gradient)
    return layer, x, 2 * (2 * 16 * 20 * 24) * (8 * 3 * 3)  # 2 x outputs x products an output


@pytest.mark.parametrize(("needs_input_gradient", "passes"), [(False, 2), (True, 3)])
def test_flops_of_a_convolution_step_are_the_closed_form(needs_input_gradient, passes):
    """Forward, the gradient of the weight, and, where it is wanted, the gradient of the input: each as many products."""
    layer, x, forward = convolution(needs_input_gradient)
    assert step_flops(lambda: layer(x)) == forward
    assert step_flops(lambda: layer(x).square().mean().backward()) == passes * forward


def test_the_step_is_really_run_once():
    layer, x, _ = convolution(False)
    step_flops(lambda: layer(x).sum().backward())
    once = layer.weight.grad.clone()
    layer(x).sum().backward()
    assert torch.allclose(layer.weight.grad, 2 * once)


def test_compiled_modules_run_and_count_as_they_were_written():
    def compiler(graph, inputs):
        raise AssertionError("was compiled")

    layer, x, forward = convolution(False)
    layer.compile(backend=compiler)
    whole = torch.compile(layer, backend=compiler)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert step_flops(lambda: layer(x).square().mean().backward()) == 2 * forward
        assert step_flops(lambda: whole(x).square().mean().backward()) == 2 * forward


def test_a_forward_pass_of_a_preset_costs_what_its_table_says():
    preset = get_preset("tiny")
    model = build(preset)
    lr = torch.rand(1, 3, 64, 64)
    flops = step_flops(lambda: model(lr, torch.randn(1, preset.latent_channels, 32, 32)))
    assert flops == pytest.approx(preset.gflops.total * 1e9 / 4, rel=0.02)  # a quarter of the area of the table's tile


@pytest.mark.parametrize(
    ("name", "dtype", "tf32", "tflops"),
    [
        ("NVIDIA H100 80GB HBM3", torch.bfloat16, True, 989.4),
        ("NVIDIA H100 80GB HBM3", torch.float32, True, 494.7),
        ("NVIDIA H100 80GB HBM3", torch.float32, False, 66.9),
        ("NVIDIA H100 PCIe", torch.bfloat16, True, 756.5),
        ("NVIDIA H100 NVL", torch.float16, True, 835.5),
        ("NVIDIA H200", torch.bfloat16, True, 989.4),
        ("NVIDIA A100-SXM4-80GB", torch.bfloat16, True, 312),
        ("A100-SXM4-40GB", torch.float32, True, 156),  # older drivers leave the vendor out
        ("NVIDIA L4", torch.bfloat16, True, 121),
        ("NVIDIA L40S", torch.bfloat16, True, 362.05),
        ("NVIDIA A10", torch.float16, True, 125),
        ("Tesla T4", torch.float16, True, 65),
        ("Tesla T4", torch.float32, True, 8.1),  # has no TF32
        ("NVIDIA GeForce RTX 3090", torch.float16, True, 71),
        ("NVIDIA GeForce RTX 3090 Ti", torch.float16, True, 80),
        ("NVIDIA GeForce RTX 4090", torch.bfloat16, True, 165.2),
    ],
)
def test_a_known_gpu_has_its_vendors_figure(name, dtype, tf32, tflops):
    assert vendor_peak(name, dtype, tf32=tf32) == pytest.approx(tflops * TERA)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("NVIDIA GeForce RTX 4090 Laptop GPU", torch.bfloat16),  # half the speed of its namesake
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", torch.bfloat16),  # a seventh
        ("NVIDIA A10G", torch.bfloat16),
        ("Tesla T4", torch.bfloat16),  # its tensor cores do not take it
        ("NVIDIA A100-SXM4-80GB", torch.float64),
    ],
)
def test_a_device_that_only_resembles_a_known_one_has_none(name, dtype):
    assert vendor_peak(name, dtype) is None


def test_the_figures_of_a_gpu_hang_together():
    """Tensor cores take half the bits at twice the rate: a figure with sparsity among figures without would break that."""
    for name, peaks in throughput._PEAKS.items():
        assert peaks.float32 <= (peaks.tf32 or peaks.float32) < peaks.half, name
        assert peaks.half / (peaks.tf32 or peaks.half / 2) == pytest.approx(2, rel=0.03), name


def test_a_known_gpu_is_named_as_the_source_and_an_unknown_one_is_measured(monkeypatch):
    cuda = torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H100 80GB HBM3")
    assert peak_flops(cuda, torch.bfloat16) == (989.4 * TERA, "vendor's figure for NVIDIA H100 80GB HBM3")
    assert peak_flops(cuda, torch.float32)[0] == 494.7 * TERA
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    assert peak_flops(cuda, torch.float32)[0] == 66.9 * TERA
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Some GPU")
    monkeypatch.setattr(throughput, "measured_peak", lambda device, dtype: (7 * TERA, 4096))
    assert peak_flops(cuda, torch.bfloat16) == (7 * TERA, "measured: 4096x4096 matrix products")


def test_a_cpu_is_measured_in_half_a_second_and_leaves_the_settings_as_they_were():
    began = time.perf_counter()
    peak, source = peak_flops(CPU, torch.float32)
    assert time.perf_counter() - began < 2  # half a second, and what a busy machine adds
    assert 1e8 < peak < 1e14
    assert source.startswith("measured: ")
    assert source.endswith(" matrix products")
    assert torch.get_float32_matmul_precision() == "highest"
    assert torch.backends.cuda.matmul.allow_tf32 is False


def test_real_products_reach_a_share_of_the_peak_between_nothing_and_all():
    size = 256
    a = torch.rand(size, size)
    peak, _ = measured_peak(CPU, torch.float32, seconds=0.3)
    meter = Throughput(flops_per_sample=step_flops(lambda: a @ a), peak=peak, device=CPU)
    began, steps = time.perf_counter(), 0
    while time.perf_counter() - began < 0.3:
        a @ a
        meter.count(1)
        steps += 1
    rates = meter.rates()
    assert rates.samples_per_second == pytest.approx(steps / 0.3, rel=0.5)
    assert 0.02 < rates.share < 1.2


def test_the_rates_of_a_window_are_samples_over_seconds_and_a_new_window_forgets(monkeypatch):
    now = 100.0
    monkeypatch.setattr(throughput.time, "perf_counter", lambda: now)
    meter = Throughput(flops_per_sample=3e9, peak=1e12, device=CPU)
    for samples in (16, 16, 8):
        now += 0.5
        meter.count(samples)
    now += 0.5
    assert meter.rates() == (20.0, pytest.approx(0.06))
    meter.start()
    now += 2
    meter.count(10)
    assert meter.rates() == (5.0, pytest.approx(0.015))
