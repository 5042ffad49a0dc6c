"""Recipes are read strictly: whoever mistypes one learns which field it was and what it wants, in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

from edgesr.errors import UsageError
from edgesr.train.recipe import Recipe, load_recipe

SHIPPED = sorted((Path(__file__).parents[2] / "recipes").rglob("*.toml"))


@pytest.fixture
def write(tmp_path):
    def _write(text):
        path = tmp_path / "recipe.toml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return _write


def refusal(path, overrides=None):
    with pytest.raises(UsageError) as caught:
        load_recipe(path, overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_shipped_recipes_load(path):
    recipe = load_recipe(path)
    assert recipe.optimizer.steps > 0
    assert recipe.preset in f"{path.parent.name}/{path.name}"


def test_there_are_shipped_recipes():
    assert len(SHIPPED) >= 2


def test_what_is_written_arrives_and_the_rest_keeps_its_default(write):
    recipe = load_recipe(
        write('stage = "autoencoder"\n[data]\nbatch = 3\n[data.degradation.first]\nsigma = [1, 2.5]\nkernel_size = [7, 9]\n')
    )
    default = Recipe("autoencoder")
    assert recipe.data.batch == 3
    assert recipe.data.degradation.first.sigma == (1.0, 2.5)
    assert type(recipe.data.degradation.first.sigma[0]) is float
    assert recipe.data.degradation.first.kernel_size == (7, 9)
    assert recipe.data.degradation.second == default.data.degradation.second
    assert recipe.optimizer == default.optimizer


@pytest.mark.parametrize(
    ("text", "wrong", "right"),
    [
        ("sede = 1", "'sede'", "'seed'"),
        ("[optimiser]\nsteps = 1", "'optimiser'", "'optimizer'"),
        ("[optimizer]\nlearning_rat = 1.0", "'optimizer.learning_rat'", "'optimizer.learning_rate'"),
        ("[data.degradation.first]\nsigmas = [1, 2]", "'data.degradation.first.sigmas'", "'data.degradation.first.sigma'"),
        ("zzz = 1", "'zzz'", "optimizer"),  # nothing is near: all are listed
    ],
)
def test_an_unknown_field_is_refused_with_the_nearest_right_one(write, text, wrong, right):
    message = refusal(write('stage = "autoencoder"\n' + text))
    assert f"unknown field {wrong}" in message
    assert right in message.partition(wrong)[2]


@pytest.mark.parametrize(
    ("text", "field", "wanted"),
    [
        ('seed = "1"', "'seed'", "int"),
        ("seed = 1.0", "'seed'", "int"),
        ("seed = true", "'seed'", "int"),
        ("preset = 3", "'preset'", "str"),
        ("data = 3", "'data'", "a table"),
        ('precision = "bf16"', "'precision'", "bfloat16"),
        ('[optimizer]\nlearning_rate = "fast"', "'optimizer.learning_rate'", "float"),
        ("[optimizer]\nlearning_rate = false", "'optimizer.learning_rate'", "float"),
        ("[data.degradation.first]\nsigma = [1, 2, 3]", "'data.degradation.first.sigma'", "2 of them"),
        ('[data.degradation.first]\nsigma = [1, "2"]', "'data.degradation.first.sigma'", "float"),
        ("[data.degradation.first]\nkernel_weights = 1.0", "'data.degradation.first.kernel_weights'", "a list of float"),
    ],
)
def test_a_wrong_type_is_refused_with_the_field_and_the_right_one(write, text, field, wanted):
    message = refusal(write('stage = "autoencoder"\n' + text))
    assert f"the field {field} must be" in message
    assert wanted in message


@pytest.mark.parametrize(
    "field",
    ["data.batch", "data.uses", "data.block", "optimizer.steps", "log.every", "log.validate", "log.crops", "log.checkpoint"],
)
def test_a_count_below_one_is_refused(write, field):
    path = write('stage = "autoencoder"\n')
    load_recipe(path, [f"{field}=1"])
    assert f"'{field}' must be 1 or more" in refusal(path, [f"{field}=0"])


@pytest.mark.parametrize(
    ("setting", "wanted"),
    [
        ("data.held_out=0", "1 or more"),
        ("data.hr_size=-128", "1 or more"),
        ("optimizer.learning_rate=0", "more than 0"),
        ("optimizer.learning_rate=-1e-3", "more than 0"),
        ("optimizer.clip=0", "more than 0"),
        ("optimizer.ema=1", "0 to less than 1"),
        ("optimizer.ema=-0.1", "0 to less than 1"),
        ("optimizer.decay=1.5", "0 to 1"),
        ("data.degradation.light_probability=25", "0 to 1"),
        ("data.degradation.second.blur_probability=1.1", "0 to 1"),
        ("data.crop.downscale_probability=-0.1", "0 to 1"),
        ("loss.terminal_start=75", "0 to 1"),
        ("loss.terminal_end=-1", "0 to 1"),
        ("loss.adversarial.start=85", "0 to 1"),
        ("loss.adversarial.ramp=1.5", "0 to 1"),
        ("loss.adversarial.update_every=0", "1 or more"),
        ("loss.adversarial.r1_every=0", "1 or more"),
        ("loss.adversarial.width=0", "1 or more"),
        ("loss.artifacts=-1", "0 or more"),
        ("log.greatest_colour_shift=0", "more than 0"),
        ("log.greatest_lattice=-1", "more than 0"),
        ("log.greatest_accuracy=95", "0 to 1"),
        ("log.accuracy_steps=0", "1 or more"),
        ("log.greatest_lattice=-inf", "a finite number"),
        ("loss.perceptual=-0.05", "0 or more"),
        ("optimizer.learning_rate=inf", "a finite number"),
        ("loss.latent=nan", "a finite number"),
        ("log.least_latent_db=nan", "a finite number"),
        ("log.least_latent_db=inf", "a finite number"),
        ("data.degradation.first.sigma=[0.2, inf]", "a finite number"),
    ],
)
def test_a_number_that_means_nothing_is_refused_with_what_its_field_wants(write, setting, wanted):
    name = setting.partition("=")[0]
    assert f"'{name}' must be {wanted}, not " in refusal(write('stage = "autoencoder"\n'), [setting])


def test_a_folders_share_is_above_zero(write):
    setting = "data.folders=[{path='x', share=0}]"
    assert "'data.folders.share' must be more than 0 and at most 1, not 0.0" in refusal(
        write('stage = "autoencoder"\n'), [setting]
    )


@pytest.mark.parametrize("share", [0, 1])
def test_both_ends_of_a_share_are_allowed(write, share):
    names = ("data.crop.downscale_probability", "optimizer.decay", "loss.terminal_start", "loss.adversarial.start")
    load_recipe(write('stage = "autoencoder"\n'), [f"{name}={share}" for name in names])
    load_recipe(write('stage = "autoencoder"\n'), ["log.least_latent_db=-inf", f"optimizer.warmup={share}"])
    load_recipe(write('stage = "autoencoder"\n'), ["log.greatest_colour_shift=inf", "log.greatest_lattice=inf"])


def test_fields_of_earlier_recipes_are_read_under_their_new_names(write):
    loss = load_recipe(write('stage = "autoencoder"\n[loss]\nspread = 5e-3\n'), ["loss.guess=0.2"]).loss
    assert (loss.log_s_reg, loss.mu_prior) == (5e-3, 0.2)


def test_a_missing_stage_is_named(write):
    assert "'stage' is missing" in refusal(write('preset = "tiny"'))


def test_overrides_are_typed_nested_and_win(write):
    path = write('stage = "autoencoder"\n[optimizer]\nsteps = 10\n')
    recipe = load_recipe(
        path,
        [
            "optimizer.steps=20",
            "optimizer.learning_rate=1e-3",
            "data.degradation.first.sigma=[1, 2]",
            "preset=small",  # a bare word is a string
            'init="runs/a=b"',
            "seed = 7",
        ],
    )
    assert (recipe.optimizer.steps, recipe.optimizer.learning_rate, recipe.seed) == (20, 1e-3, 7)
    assert recipe.data.degradation.first.sigma == (1.0, 2.0)
    assert (recipe.preset, recipe.init) == ("small", "runs/a=b")
    assert load_recipe(path).optimizer.steps == 10


@pytest.mark.parametrize(
    ("override", "word"),
    [
        ("optimizer.steps", "key=value"),
        ("optimizer.steps=", "'optimizer.steps'"),
        ("optimizer.steps=many", "'optimizer.steps'"),
        ("optimizer.step=5", "'optimizer.steps'"),
        ("stage.name=x", "'stage' is a field"),
        ("optimizer.clip.x=1", "'optimizer.clip'"),
        ("optimizer=5", "a table"),
        ("=5", "unknown field"),
        ("seed=" + "9" * 5000, "'seed' must be int"),
        ("seed=" + "[" * 3000, "'seed' must be int"),
    ],
)
def test_a_malformed_override_is_refused(write, override, word):
    assert word in refusal(write('stage = "autoencoder"\n'), [override])


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    assert str(tmp_path / "none.toml") in refusal(tmp_path / "none.toml")
    assert str(tmp_path) in refusal(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        "stage: autoencoder",
        b"\xff\xfe\x00s",
        'stage = "a"\nstage = "b"',
        "seed = " + "9" * 5000,  # more digits than Python converts
        "stage = " + "[" * 3000,
    ],
)
def test_a_file_that_is_not_toml_is_named(write, content):
    path = write(content)
    message = refusal(path)
    assert str(path) in message
    assert "not a TOML file" in message
