"""A checkpoint's record of its networks, and the fields in which a recipe must agree to continue from it: tensor shapes alone are not
enough."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from edgesr.errors import UsageError
from edgesr.model.conditioning import Variant
from edgesr.train.networks import Networks
from edgesr.train.recipe import Recipe

State = Mapping[str, Any]  # of a checkpoint; older ones lack some fields


def identity(recipe: Recipe, nets: Networks) -> dict[str, Any]:
    """The record of a run in the state of its checkpoints."""
    return {
        "preset": recipe.preset,
        "stage": recipe.stage,
        "variant": dataclasses.asdict(recipe.model.variant),
        "lr_encoder": recipe.model.lr_encoder,
        "hr_encoder": recipe.model.hr_encoder,
        "hr_encoder_sha256": nets.hr_encoder_sha256,
        "latent_channels": nets.edge.preset.latent_channels,
        **({"adversary": recipe.loss.adversarial.network} if recipe.loss.adversarial.weight else {}),
    }


def check_resumed(state: State, recipe: Recipe, nets: Networks, where: Path) -> None:
    """Raise UsageError, naming the field, if the checkpoint with this `state` is not from the recipe's run."""
    ours = identity(recipe, nets)
    unused = (
        set() if {"adversary"} <= state.keys() & ours.keys() else {"loss.adversarial.network"}
    )  # an adversary may be added or removed during a run
    if difference := _difference(*_latents_by_weights({**ours, "hr_encoder_sha256": "", **state}, ours), unused):
        raise UsageError(f"{where}: the run there has {difference}")


def check_init(state: State, recipe: Recipe, nets: Networks, where: Path) -> None:
    """Raise UsageError, naming the field, if the networks of a checkpoint with this `state` are not compatible with the recipe's.

    The stage and the training of E_L may differ. Stage 0 does not use s, so its checkpoint fits every variance.
    """
    ours = identity(recipe, nets)
    of_old = {"variant": {}, "hr_encoder": "", "hr_encoder_sha256": ""}
    unused = {"stage", "model.lr_encoder", "loss.adversarial.network"}
    if state.get("stage") == "autoencoder":
        unused.add("model.variance")
    if recipe.model.smoothing and not Variant.recorded(state.get("variant", {})).smoothing:  # it starts as nothing
        unused.add("model.smoothing")
    if difference := _difference(*_latents_by_weights({**ours, **of_old, **state}, ours), unused):
        raise UsageError(f"{where}: the checkpoint has {difference}; set it as it was there, or start from another checkpoint")


def _latents_by_weights(theirs: State, ours: State) -> tuple[State, State]:
    """Both states; if both record the hash of a third-party HR encoder, compare the hashes instead of the paths."""
    if not (theirs["hr_encoder_sha256"] and ours["hr_encoder_sha256"]):
        return theirs, ours
    if theirs["hr_encoder_sha256"] == ours["hr_encoder_sha256"]:
        return {**theirs, "hr_encoder": ours["hr_encoder"]}, ours
    there, here = ({**state, "hr_encoder": f"{state['hr_encoder']} ({state['hr_encoder_sha256']})"} for state in (theirs, ours))
    return there, here


def _difference(theirs: State, ours: State, unused: Collection[str] = ()) -> str:
    """The first field that differs, with both values; "" if none does."""
    there, here = _by_field(theirs), _by_field(ours)
    for field, value in here.items():
        if field not in unused and there[field] != value:
            return f"{field} {_said(there[field])}, and the recipe {_said(value)}"
    return ""


def _by_field(state: State) -> dict[str, Any]:
    """The values, keyed by the names of the recipe's fields."""
    named = {name: state[name] for name in ("preset", "stage")}
    named |= {f"model.{name}": value for name, value in dataclasses.asdict(Variant.recorded(state["variant"])).items()}
    return named | {
        "model.lr_encoder": state["lr_encoder"],
        "model.hr_encoder": state["hr_encoder"],
        "latent channels": state["latent_channels"],
        "loss.adversarial.network": state.get("adversary"),
    }


def _said(value: object) -> str:
    return json.dumps(value) if isinstance(value, bool) else repr(value)
