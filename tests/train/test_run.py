"""The training loop: what moves and what does not, stopping and going on, and failing loudly."""

from __future__ import annotations

import itertools
import json
import time

import pytest

torch = pytest.importorskip("torch")

from photographs import make_folder, write_recipe

from edgesr import cli
from edgesr.errors import DivergedError, EdgesrError, UsageError
from edgesr.model import checkpoint
from edgesr.presets import get_preset
from edgesr.train import loop, run, stages
from edgesr.train.loop import learning_rate
from edgesr.train.networks import Networks
from edgesr.train.recipe import OptimizerConfig

TRAINED = {
    "autoencoder": ("hr_encoder.", "edge.decoder.", "edge.encoder."),
    "teacher-x2": ("teacher.",),
    "student-x4": ("edge.unet.", "edge.encoder."),
    "decoder": ("edge.decoder.",),
    "end-to-end": ("edge.",),
}
# The adversary of the stage decoder acts on the second half of its six steps; that of the last stage on all.
MORE = {
    "decoder": "[loss.adversarial]\nweight = 0.05\nstart = 0.5\nwidth = 8\n",
    "end-to-end": "[loss.adversarial]\nweight = 0.05\nstart = 0.0\nramp = 0.5\nwidth = 8\nnetwork = 'highpass-patch'\n"
    "kind = 'relativistic'\nupdate_every = 2\n",
}


FINE = {"latent_db": 0.0, "colour_shift": 0.0, "lattice": 0.0}  # figures of a validation


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("training"))


@pytest.fixture(scope="module")
def finished(folder):
    """Stage name -> (recipe, output folder) of all stages in order, each begun from the checkpoint of the one before."""
    outputs, init = {}, ""
    for stage in TRAINED:
        recipe, out = write_recipe(folder, stage, init, MORE.get(stage, "")), folder / f"out-{stage}"
        run.train(recipe, out)
        outputs[stage] = recipe, out
        init = out / "checkpoint"
    return outputs


def weights(out):
    return checkpoint.part(checkpoint.load(out / "checkpoint")[0], "net.")


def bytes_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def begun(finished, stage):
    """The weights a stage began with, as far as the stage before had them."""
    if stage == "autoencoder":
        return Networks(get_preset("tiny"), seed=0).state_dict()
    before = list(TRAINED)[list(TRAINED).index(stage) - 1]
    return checkpoint.averaged(checkpoint.load(finished[before][1] / "checkpoint")[0])


@pytest.mark.parametrize("stage", TRAINED)
def test_a_stage_moves_what_it_trains_and_nothing_else(finished, stage):
    before, (_, out) = begun(finished, stage), finished[stage]
    tensors, _ = checkpoint.load(out / "checkpoint")
    trained = {name for name in weights(out) if name.startswith(TRAINED[stage])}
    assert checkpoint.part(tensors, "ema.").keys() == trained
    for after in (checkpoint.part(tensors, "net."), checkpoint.averaged(tensors)):
        frozen = after.keys() - trained
        assert frozen <= before.keys()
        assert all(torch.equal(after[name], before[name]) for name in frozen)
        assert not any(torch.equal(after[name], before[name]) for name in trained & before.keys())


@pytest.mark.parametrize("stage", TRAINED)
def test_an_interrupted_and_resumed_run_is_the_uninterrupted_one_bit_for_bit(finished, tmp_path, stage):
    recipe, straight = finished[stage]

    def interrupt(record):
        if record.getMessage().startswith("step 5"):  # two steps past the checkpoint, amid a block of data
            raise KeyboardInterrupt
        return True

    run.logger.addFilter(interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            run.train(recipe, tmp_path / "out")
    finally:
        run.logger.removeFilter(interrupt)
    assert checkpoint.load(tmp_path / "out" / "checkpoint")[1]["step"] == 3
    run.train(recipe, tmp_path / "out", resume=True)
    want, want_state = checkpoint.load(straight / "checkpoint")
    got, got_state = checkpoint.load(tmp_path / "out" / "checkpoint")
    assert got_state["step"] == want_state["step"] == 6
    assert got.keys() == want.keys()
    assert any(name.startswith("optimizer.") for name in got)
    different = [name for name in got if not torch.equal(got[name], want[name])]
    assert not different


def test_resuming_a_finished_run_changes_nothing(finished):
    recipe, out = finished["end-to-end"]
    before = weights(out)
    run.train(recipe, out, resume=True)
    assert all(torch.equal(value, before[name]) for name, value in weights(out).items())


def test_the_learning_rate_warms_up_holds_and_ends_near_zero():
    config = OptimizerConfig(steps=100, learning_rate=1.0, warmup=10, decay=0.5)
    rates = [learning_rate(config, step) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * (i + 1) for i in range(10)])
    assert rates[10:50] == pytest.approx([1.0] * 40)
    assert all(a > b > 0 for a, b in itertools.pairwise(rates[50:]))
    assert rates[-1] < 0.01


def test_minutes_stop_the_run_in_time_and_save_between_checkpoints(folder, tmp_path):
    settings = ["optimizer.steps=1000000", "log.checkpoint=1000000", "log.every=1000000", "log.validate=1000000"]
    recipe = write_recipe(folder, "autoencoder")
    for minutes in (0.04, 0.08, 0.16, 0.32, 0.64):  # a busy machine may spend the first of them on reading the recipe
        out, began = tmp_path / str(minutes), time.monotonic()
        run.train(recipe, out, minutes=minutes, overrides=settings)
        taken = time.monotonic() - began
        assert 60 * minutes <= taken < 60 * minutes + 20
        _, state = checkpoint.load(out / "checkpoint")
        if state["step"] > 0:
            break
    assert state["step"] > 0
    assert 0 < state["seconds"] <= taken  # though no line was logged
    run.train(recipe, out, minutes=minutes, resume=True, overrides=settings)
    _, later = checkpoint.load(out / "checkpoint")
    assert later["step"] > state["step"]
    assert later["seconds"] > state["seconds"]


@pytest.mark.parametrize("minutes", [0, -1, float("nan")])
def test_minutes_that_mean_nothing_are_refused(folder, tmp_path, minutes):
    with pytest.raises(UsageError, match="--minutes"):
        run.train(write_recipe(folder, "autoencoder"), tmp_path / "out", minutes=minutes)
    assert not (tmp_path / "out").exists()


def test_the_log_names_step_losses_speed_and_what_is_left(finished):
    lines = (finished["end-to-end"][1] / "log.txt").read_text().splitlines()
    line = next(line for line in lines if " step 5 " in line)
    for word in ("loss", "pixel", "mean_s", "gradient", "s/step", "min left"):
        assert word in line
    assert any("step 4 " in line and "held out" in line and "latent_db" in line for line in lines)


def test_pictures_that_cannot_be_read_are_named_in_the_log_as_well(tmp_path, capsys):
    folder = make_folder(tmp_path)
    (folder / "photographs" / "broken.png").write_bytes(b"nonsense")
    run.train(write_recipe(folder, "autoencoder"), tmp_path / "out", overrides=["optimizer.steps=1"])
    for text in ((tmp_path / "out" / "log.txt").read_text(), capsys.readouterr().err):
        assert text.count("broken.png") == 1


def test_the_time_of_a_validation_is_no_steps(folder, tmp_path, monkeypatch):
    """The line after one says how fast the training is, not how slow the validation was."""
    monkeypatch.setattr(loop.Loop, "validate", lambda self, batch, journal: time.sleep(2) or FINE)
    settings = ["optimizer.steps=4", "log.validate=2", "log.every=1", "log.checkpoint=1"]
    began = time.monotonic()
    run.train(write_recipe(folder, "autoencoder"), tmp_path, overrides=settings)
    taken = time.monotonic() - began - 2 * 2
    lines = [json.loads(line) for line in (tmp_path / "scalars.jsonl").read_text().splitlines()]
    spent = sum(2 / line["samples_per_second"] for line in lines)  # a batch of two
    assert len(lines) == 4
    assert 0 < spent < taken


def test_going_on_where_nothing_was_saved_says_how_to_start(folder, tmp_path):
    with pytest.raises(UsageError, match="start without --resume"):
        run.train(write_recipe(folder, "autoencoder"), tmp_path / "out", resume=True)
    assert not (tmp_path / "out").exists()


def test_an_existing_run_is_refused_without_resume(finished):
    recipe, out = finished["autoencoder"]
    before = bytes_of(out / "checkpoint")
    with pytest.raises(UsageError, match="--resume"):
        run.train(recipe, out)
    assert bytes_of(out / "checkpoint") == before


def test_a_run_whose_last_write_broke_off_is_refused_as_well(finished, tmp_path):
    recipe, out = finished["autoencoder"]
    tensors, state = checkpoint.load(out / "checkpoint")
    checkpoint.save(tmp_path / "checkpoint.old", tensors, state)
    with pytest.raises(UsageError, match="--resume"):
        run.train(recipe, tmp_path)


def test_resuming_with_the_recipe_of_another_stage_is_refused(finished):
    with pytest.raises(UsageError, match="stage 'autoencoder'"):
        run.train(finished["end-to-end"][0], finished["autoencoder"][1], resume=True)


@pytest.mark.parametrize("named", [True, False])
def test_resuming_with_another_encoder_held_still_is_refused(finished, tmp_path, named):
    """By a checkpoint that names its encoders, and by an earlier one, which does not."""
    recipe, out = finished["end-to-end"]
    tensors, state = checkpoint.load(out / "checkpoint")
    if not named:
        state = {name: value for name, value in state.items() if not name.endswith("_encoder")}
    checkpoint.save(tmp_path / "checkpoint", tensors, state)
    with pytest.raises(UsageError, match="lr_encoder"):
        run.train(recipe, tmp_path, resume=True, overrides=["model.lr_encoder=frozen"])
    run.train(recipe, tmp_path, resume=True)


def test_resuming_with_another_latent_space_is_refused(finished, tmp_path):
    """The frozen encoder is not in the checkpoint where it is of others: its name alone tells that it is another."""
    recipe, out = finished["end-to-end"]
    tensors, state = checkpoint.load(out / "checkpoint")
    checkpoint.save(tmp_path / "checkpoint", tensors, {**state, "hr_encoder": "some/autoencoder"})
    with pytest.raises(UsageError, match="hr_encoder 'some/autoencoder'"):
        run.train(recipe, tmp_path, resume=True)


@pytest.mark.parametrize(
    ("override", "word"),
    [
        ("data.folder=nowhere", "nowhere"),
        ("data.folder=''", "the field 'data.folder' (the photographs) is missing"),
        ("stage=student", "'student'"),
        ("preset=huge", "'huge'"),
        ("init=nowhere", "nowhere"),
        ("data.hr_size=100", "data.hr_size"),
        ("data.hr_size=64", "too small to degrade"),
        ("data.hr_size=160", "crop size 160"),
        ("loss.perceptual_window=97", "loss.perceptual_window"),
        ("loss.truth=0.5", "'loss.truth' needs a teacher's targets"),
        ("loss.sharpen=0.3", "'loss.sharpen' needs a teacher's targets"),
    ],
)
def test_a_recipe_that_cannot_run_is_one_line_and_leaves_no_checkpoint(folder, tmp_path, override, word):
    with pytest.raises(UsageError) as caught:
        run.train(write_recipe(folder, "autoencoder"), tmp_path, overrides=[override])
    assert word in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "checkpoint").exists()


@pytest.mark.parametrize("device", ["gpu", "cuda:99"])
def test_a_device_that_is_not_there_is_one_line(folder, tmp_path, device):
    with pytest.raises(UsageError) as caught:
        run.train(write_recipe(folder, "autoencoder"), tmp_path, device=device)
    assert device in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_absurd_learning_rate_stops_the_run(folder, tmp_path):
    with pytest.raises(EdgesrError, match=r"optimizer\.learning_rate"):
        run.train(write_recipe(folder, "autoencoder"), tmp_path, overrides=["optimizer.learning_rate=1e30"])
    assert not (tmp_path / "checkpoint").exists()


def test_a_loss_that_is_not_finite_stops_and_the_last_checkpoint_stays(finished, tmp_path):
    recipe, out = finished["autoencoder"]
    tensors, state = checkpoint.load(out / "checkpoint")
    tensors["net.edge.decoder.mix.bias"][3] = float("nan")
    checkpoint.save(tmp_path / "checkpoint", tensors, {**state, "step": 2})
    before = bytes_of(tmp_path / "checkpoint")
    with pytest.raises(EdgesrError, match="step 2: the loss is nan"):
        run.train(recipe, tmp_path, resume=True, overrides=["log.checkpoint=1"])
    assert bytes_of(tmp_path / "checkpoint") == before


def test_a_gradient_that_is_not_finite_is_not_applied(finished, tmp_path, monkeypatch):
    """The loss is the right one; only its derivative, 0 * inf, is not a number."""

    class Steep(stages.Autoencoder):
        def loss(self, nets, batch, progress, draws):
            loss, weight = super().loss(nets, batch, progress, draws), nets.edge.decoder.mix.weight
            return loss._replace(total=loss.total + (weight - weight.detach()).square().sum().sqrt())

    recipe, out = finished["autoencoder"]
    monkeypatch.setitem(stages.STAGES, "autoencoder", Steep)
    tensors, state = checkpoint.load(out / "checkpoint")
    checkpoint.save(tmp_path / "checkpoint", tensors, {**state, "step": 2})
    before = bytes_of(tmp_path / "checkpoint")
    with pytest.raises(EdgesrError, match="gradient nan"):
        run.train(recipe, tmp_path, resume=True, overrides=["log.checkpoint=1"])
    assert bytes_of(tmp_path / "checkpoint") == before


def test_resuming_with_another_discriminator_is_refused(finished, tmp_path):
    recipe, out = finished["end-to-end"]
    checkpoint.save(tmp_path / "checkpoint", *checkpoint.load(out / "checkpoint"))
    with pytest.raises(UsageError, match=r"loss\.adversarial\.network 'highpass-patch', and the recipe 'unet'"):
        run.train(recipe, tmp_path, resume=True, overrides=["loss.adversarial.network=unet"])
    run.train(recipe, tmp_path, resume=True, overrides=["loss.adversarial.weight=0"])  # and one without goes on without


def test_the_generator_s_term_grows_with_the_ramp(folder, tmp_path):
    """At its first step the adversary weighs nothing: the run is the one without."""
    losses = []
    for weight in (0.0, 0.5):
        settings = [
            f"loss.adversarial.weight={weight}",
            "loss.adversarial.start=0",
            "loss.adversarial.ramp=1",
            "log.validate=10",
        ]
        run.train(write_recipe(folder, "autoencoder"), tmp_path / str(weight), overrides=settings)
        losses.append([json.loads(line) for line in (tmp_path / str(weight) / "scalars.jsonl").read_text().splitlines()])
    without, with_it = losses
    assert with_it[0]["loss"] == without[0]["loss"]
    assert all(a["loss"] != b["loss"] for a, b in zip(without[1:6], with_it[1:6], strict=True))
    assert 0 <= with_it[0]["d_accuracy"] <= 1


def test_a_run_that_drifts_stops_and_keeps_the_checkpoint_before(folder, tmp_path, monkeypatch):
    """Its held-out pictures are too bright by 20 levels at the second validation, step 4."""
    decode, brighter = stages.Stage.decode, iter([0.0] * 2 + [20 / 255] * 99)
    monkeypatch.setattr(stages.Stage, "decode", lambda self, *given: decode(self, *given) + next(brighter))
    recipe, settings = write_recipe(folder, "autoencoder"), ["log.validate=2", "log.checkpoint=1"]
    with pytest.raises(DivergedError, match=r"step 4: the colours .*log\.greatest_colour_shift = 10") as caught:
        run.train(recipe, tmp_path, overrides=[*settings, "log.greatest_colour_shift=10"])
    assert "\n" not in str(caught.value)
    assert checkpoint.load(tmp_path / "checkpoint")[1]["step"] == 3
    assert (tmp_path / "log.txt").read_text().count("colour_shift") == 2
    with pytest.raises(DivergedError, match="step 4"):  # what it had reached is not forgotten
        run.train(recipe, tmp_path, resume=True, overrides=[*settings, "log.greatest_colour_shift=10"])
    run.train(recipe, tmp_path, resume=True, overrides=[*settings, "log.greatest_colour_shift=inf"])
    assert checkpoint.load(tmp_path / "checkpoint")[1]["step"] == 6


@pytest.mark.parametrize(("weight", "message"), [(0.0, "latent path carries"), (float("nan"), "by nan levels")])
def test_a_finished_stage_with_a_dead_latent_path_fails(finished, tmp_path, weight, message):
    """The decoder's weights for the latent are zero, or the average is not a number: a run that ends so must not look like success."""
    recipe, out = finished["end-to-end"]
    tensors, state = checkpoint.load(out / "checkpoint")
    tensors["ema.edge.decoder.mix.weight"][:, : get_preset("tiny").latent_channels] = weight
    checkpoint.save(tmp_path / "checkpoint", tensors, state)
    with pytest.raises(EdgesrError, match=message):
        run.train(recipe, tmp_path, resume=True, overrides=["log.least_latent_db=0.2"])


def test_the_command_line_trains_and_explains(folder, tmp_path, capsys):
    recipe = write_recipe(folder, "autoencoder")
    arguments = ["train", str(recipe), "--out", str(tmp_path / "out"), "--device", "cpu", "--processes", "1"]
    settings = ["--set", "optimizer.steps=1", "log.validate=10", "--set", "data.block=1"]
    assert cli.main([*arguments, *settings]) == 0
    assert "step 1 " in capsys.readouterr().err
    assert checkpoint.load(tmp_path / "out" / "checkpoint")[1]["step"] == 1
    assert cli.main([*arguments, *settings]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "--resume" in error


def test_each_run_has_a_log_of_its_own(finished):
    for stage, (_, out) in finished.items():
        text = (out / "log.txt").read_text()
        assert f"tiny {stage}" in text
        assert not any(f"tiny {other}" in text for other in finished if other != stage)


def test_parts_that_do_not_divide_a_batch_are_refused(folder, tmp_path):
    with pytest.raises(UsageError, match=r"'optimizer\.accumulate' must divide the 4 rows of a batch"):
        run.train(write_recipe(folder, "decoder"), tmp_path, overrides=["data.batch=4", "optimizer.accumulate=3"])
