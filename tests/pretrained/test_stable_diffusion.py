"""Stable Diffusion's autoencoders, small and with random weights but saved and read as the real ones are, become E_H."""

from __future__ import annotations

import copy
import json
import re
import socket
import sys
import time

import pytest

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

from edgesr.errors import UsageError, install_command
from edgesr.pretrained.stable_diffusion import load_hr_encoder

WEIGHTS = "diffusion_pytorch_model.safetensors"


def autoencoder_kl(levels=4, **options):
    torch.manual_seed(0)
    return diffusers.AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=(8, 8, 16, 16)[:levels],
        norm_num_groups=4,
        **options,
    ).eval()


def autoencoder_tiny():
    torch.manual_seed(0)
    widths = {"encoder_block_out_channels": (8,) * 4, "decoder_block_out_channels": (8,) * 4}
    return diffusers.AutoencoderTiny(**widths).eval()


@pytest.fixture
def no_network(monkeypatch):
    """Every attempt to resolve a name or to connect, which all fail."""
    attempts = []

    def refuse(*args, **options):
        attempts.append(args)
        raise OSError("the test has no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return attempts


@pytest.mark.parametrize(
    ("options", "shift", "scale"),
    [
        ({}, 0.0, 0.18215),  # Stable Diffusion 1 and 2
        ({"scaling_factor": 1.5305, "shift_factor": 0.0609, "latent_channels": 16, "use_quant_conv": False}, 0.0609, 1.5305),
    ],
)
def test_z_h_is_the_mean_of_the_autoencoders_gaussian_scaled_as_its_config_says(tmp_path, options, shift, scale):
    vae = autoencoder_kl(**options)
    vae.save_pretrained(tmp_path)
    hr = torch.rand(2, 3, 32, 48)
    encoder = load_hr_encoder(str(tmp_path))
    with torch.no_grad():
        z_h, want = encoder(hr), vae.encode(2 * hr - 1).latent_dist.mode()
    assert z_h.shape == (2, encoder.latent_channels, 4, 6)
    torch.testing.assert_close(z_h, (want - shift) * scale)


def test_figures_per_channel_scale_each_channel_by_itself(tmp_path):
    mean, std = (0.1, -0.2, 0.3, -0.4), (1.0, 2.0, 3.0, 4.0)
    vae = autoencoder_kl(latents_mean=mean, latents_std=std, scaling_factor=0.5)
    vae.save_pretrained(tmp_path)
    hr = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        z_h, raw = load_hr_encoder(str(tmp_path))(hr), vae.encode(2 * hr - 1).latent_dist.mode()
    for channel in range(4):
        torch.testing.assert_close(z_h[:, channel], (raw[:, channel] - mean[channel]) * 0.5 / std[channel])


def test_the_tiny_autoencoder_gives_its_latents_as_they_are(tmp_path, caplog):
    vae = autoencoder_tiny()
    vae.save_pretrained(tmp_path)
    hr = torch.rand(1, 3, 32, 48)
    encoder = load_hr_encoder(str(tmp_path))
    with torch.no_grad():
        torch.testing.assert_close(encoder(hr), vae.encode(2 * hr - 1).latents)
    assert encoder.latent_channels == 4
    assert not caplog.records


def test_the_vae_of_a_pipeline_is_found_and_half_precision_files_become_float32(tmp_path):
    vae = autoencoder_kl()
    copy.deepcopy(vae).half().save_pretrained(tmp_path / "vae")
    (tmp_path / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    hr = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        z_h, want = load_hr_encoder(str(tmp_path))(hr), 0.18215 * vae.encode(2 * hr - 1).latent_dist.mode()
    assert z_h.dtype == torch.float32
    torch.testing.assert_close(z_h, want, atol=1e-3, rtol=1e-2)


def test_the_encoder_is_frozen_repeats_itself_and_has_no_decoder(tmp_path):
    vae = autoencoder_kl()
    vae.save_pretrained(tmp_path)
    encoder = load_hr_encoder(str(tmp_path))
    torch.nn.Sequential(encoder).train()
    assert not any(module.training for module in encoder.modules())
    hr = torch.rand(1, 3, 16, 16)
    z_h = encoder(hr)
    assert not z_h.requires_grad
    assert torch.equal(z_h, encoder(hr))
    kept = sum(p.numel() for p in encoder.parameters())
    assert kept == sum(p.numel() for part in (vae.encoder, vae.quant_conv) for p in part.parameters())


def test_a_folder_is_read_without_the_network(tmp_path, no_network):
    autoencoder_kl().save_pretrained(tmp_path / "whole")
    autoencoder_kl().save_pretrained(tmp_path / "hollow")
    (tmp_path / "hollow" / WEIGHTS).unlink()
    load_hr_encoder(str(tmp_path / "whole"))
    for name in ("hollow", "."):
        with pytest.raises(UsageError):
            load_hr_encoder(str(tmp_path / name))
    assert no_network == []


def truncate(folder):
    file = folder / WEIGHTS
    file.write_bytes(file.read_bytes()[:-100])


def drop_a_tensor(folder):
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / WEIGHTS)
    del tensors["encoder.conv_in.bias"]
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})


def edit_config(**fields):
    def edit(folder):
        file = folder / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | fields))

    return edit


DAMAGE = {
    "truncated weights": (truncate, "download it again"),
    "no weights": (lambda folder: (folder / WEIGHTS).unlink(), "safetensors"),
    "weights without a tensor": (drop_a_tensor, "encoder.conv_in.bias"),
    "weights of another shape": (edit_config(block_out_channels=[8, 8, 16, 32]), "download it again"),
    "no config": (lambda folder: (folder / "config.json").unlink(), "config.json"),
    "a config that is no JSON": (lambda folder: (folder / "config.json").write_text("{"), "config.json"),
    "a config that is no table": (lambda folder: (folder / "config.json").write_text("[]"), "config.json"),
    "another model's config": (edit_config(_class_name="AutoencoderOobleck"), "'AutoencoderOobleck'"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_or_foreign_folder_is_named_in_one_line(tmp_path, caplog, name):
    damage, said = DAMAGE[name]
    autoencoder_kl().save_pretrained(tmp_path)
    damage(tmp_path)
    with pytest.raises(UsageError) as caught:
        load_hr_encoder(str(tmp_path))
    message = str(caught.value)
    assert str(tmp_path) in message
    assert said in message
    assert "\n" not in message
    assert not caplog.records  # nor does diffusers say it again in its words


def test_an_autoencoder_of_another_stride_is_refused(tmp_path):
    autoencoder_kl(levels=3).save_pretrained(tmp_path)
    with pytest.raises(UsageError, match="4 times; name one that reduces RGB 8 times"):
        load_hr_encoder(str(tmp_path))


def test_without_diffusers_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(UsageError, match=re.escape(install_command("diffusers"))):
        load_hr_encoder(str(tmp_path))


@pytest.mark.parametrize("source", ["nobody/nothing", "nobody/nothing:vae", "/no/such/folder"])
@pytest.mark.parametrize("offline", [True, False])  # by HF_HUB_OFFLINE=1, which is read once, or because nothing answers
def test_a_hub_id_without_network_fails_at_once_and_says_what_to_do(tmp_path, monkeypatch, no_network, source, offline):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", offline)
    start = time.monotonic()
    with pytest.raises(UsageError, match="name the folder") as caught:
        load_hr_encoder(source)
    assert time.monotonic() - start < 2
    assert str(caught.value).startswith(f"{source}: ")
    assert "\n" not in str(caught.value)
    assert not (offline and no_network)


def test_a_hub_id_is_found_in_the_hubs_cache(tmp_path, monkeypatch):
    """As diffusers and `hf download` leave it there; a machine without network can use what it once fetched."""
    cache = tmp_path / "models--someone--something"
    autoencoder_kl().save_pretrained(cache / "snapshots" / "0a1b" / "vae")
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("0a1b")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for source in ("someone/something", "someone/something:vae"):
        assert load_hr_encoder(source).latent_channels == 4
