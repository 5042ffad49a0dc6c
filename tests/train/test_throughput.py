"""FLOPs against their closed forms, and rates and shares that a clock and real products bear out."""

from __future__ import annotations

import time
import warnings

import pytest

torch = pytest.importorskip("torch")

from edgesr.model import build
from edgesr.presets import get_preset
from edgesr.train import throughput
from edgesr.train.throughput import Throughput, measured_peak, step_flops

CPU = torch.device("cpu")


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


def test_a_cpu_is_measured_in_half_a_second_and_leaves_the_settings_as_they_were():
    began = time.perf_counter()
    peak = measured_peak(CPU, torch.float32)
    assert time.perf_counter() - began < 3  # half a second, and what a busy machine adds
    assert 1e8 < peak < 1e14
    assert torch.get_float32_matmul_precision() == "highest"


def test_real_products_reach_a_share_of_the_peak_between_nothing_and_all():
    size = 256
    a = torch.rand(size, size)
    peak = measured_peak(CPU, torch.float32, seconds=0.3)
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
