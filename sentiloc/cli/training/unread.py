"""Options of `sentiloc train` that a run would not read: each is a usage error that names the option and the reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from sentiloc.cli.given import flag, refuse
from sentiloc.cli.training.train_options import BY_NAME

if TYPE_CHECKING:
    from sentiloc.model.fsenet.losses import LossConfig
    from sentiloc.model.fsenet.network import FSENetConfig

_FRAMES = {"frame", "frame_glo", "lambda1", "gamma", "focal"}
_LABELS = {"pseudo_label", "w", "beta", "tau", "add_inside", "inside"}
_CONTRAST = {"lambda2", "distance", "contrast", "prototypes", "negatives", "disjoint", "temperature"}
_VIDEO_ONLY = {"erasing", "saliency_base"}
UNREAD: dict[str, set[str]] = {
    "video": {*_FRAMES, *_LABELS, *_CONTRAST, "sc"},
    "full": {*_LABELS, *_VIDEO_ONLY, "points"},
    "point": _VIDEO_ONLY,
}
"""Options of FSENet that a supervision setting never reads."""
_TERMS = {"frame", "frame_glo", "sc", "saliency_base"}
RECIPES = {"cten": ("default", "paper", "quick"), "gim": ("default", "paper", "quick")}
STARTER = {"task", "recipe", "seed", "deterministic"}
"""All options that the recipe `starter` reads."""


class Rule(NamedTuple):
    """Options that have no effect in some configurations, and why."""

    names: set[str]
    unread: Callable[[FSENetConfig, LossConfig], bool]
    reason: str


RULES = (
    Rule(
        _CONTRAST,
        lambda _, loss: not loss.sc,
        "PSSC, which reads it, is off",
    ),
    Rule(
        {"k"},
        # The base loss takes the top T / k steps under video supervision only.
        lambda _, loss: not loss.sc and loss.resolve()[1] == "mean",
        "only PSSC and video supervision read it",
    ),
    Rule({"contrast"}, lambda _, loss: loss.negatives == "rest", "--negatives rest does not read it"),
    Rule(
        {"attention", "position", "attention_window"},
        lambda network, _: not (network.stage1 or network.stage2),
        "stages I and II, which read it, are off",
    ),
    Rule(
        {"fusion", "frame_glo", "saliency_base"},
        lambda network, _: not network.gsp,
        "it concerns the global scores, which --no-gsp leaves out",
    ),
    Rule(
        {"erasing"},
        lambda network, _: not network.gsp,
        "without GSP no step stands out, so nothing is erased",
    ),
    Rule(
        # `add_inside` is about the label of non-sentiment, which only the frame losses read.
        {"lambda1", "gamma", "focal", "add_inside"},
        lambda network, loss: not (loss.frame or (loss.frame_glo and network.gsp)),
        "the frame losses, which read it, are off",
    ),
    Rule(
        {"w"},
        lambda _, loss: loss.pseudo_label in ("threshold", "none"),
        "--pseudo-label threshold and none have no window",
    ),
    Rule(
        {"beta"},
        lambda _, loss: loss.pseudo_label not in ("full", "step"),
        "only --pseudo-label full and step read it",
    ),
    Rule(
        {"tau"},
        lambda _, loss: loss.pseudo_label in ("step", "none"),
        "--pseudo-label step and none do not read it",
    ),
    Rule(
        {"add_inside", "inside"},
        lambda _, loss: loss.pseudo_label == "step",
        "--pseudo-label step does not use the model's own scores",
    ),
    Rule(
        {"inside"},
        # An annotated step has the label 1, whatever is added to it.
        lambda _, loss: loss.pseudo_label in ("threshold", "none"),
        "--pseudo-label threshold and none have no window",
    ),
    Rule(
        {"stream_dropout"},
        lambda network, _: len(network.streams) == 1,
        "there is one stream, which is never masked",
    ),
)
"""Rules that depend on the whole configuration of a run."""


def switched_off(options: Mapping[str, Any]) -> set[str]:
    """Losses that the options switch off. Switching off a loss that the run does not have is not an error."""
    return {name for name in _TERMS if options.get(name) is False}


def check_given(given: set[str], options: Mapping[str, Any]) -> None:
    """Raise a usage error for a given option that the task, the supervision or the recipe does not read."""
    task, supervision, recipe = options["task"], options["supervision"], options["recipe"]
    if "seeds" in given:
        refuse(given, {"seed"}, "--seeds names the seeds")
    for name in sorted(given & set(BY_NAME)):
        if task not in BY_NAME[name].tasks:
            readers = " or ".join(sorted(BY_NAME[name].tasks))
            detail = f"--task {task} does not read it; --task {readers} does"
            raise typer.BadParameter(detail, param_hint=flag(name))
    if task == "fsenet":
        refuse(
            given - switched_off(options),
            UNREAD[supervision],
            f"--supervision {supervision} does not read it",
        )
    elif recipe not in RECIPES[task]:
        raise typer.BadParameter(f"--task {task} has {', '.join(RECIPES[task])}", param_hint="--recipe")
    if recipe == "starter":
        refuse(given, set(BY_NAME) - STARTER, "--recipe starter does not read it")


def check_read(options: Mapping[str, Any], network: FSENetConfig, loss: LossConfig) -> None:
    """Raise a usage error for a given option of FSENet that this configuration does not read."""
    given = set(options) - switched_off(options)
    for rule in RULES:
        if rule.unread(network, loss):
            refuse(given, rule.names, rule.reason)


def check_start(given: set[str], path: Path, own: FSENetConfig, asked: FSENetConfig) -> list[str]:
    """Raise a usage error for an option that asks for another network than `--from` has.

    own: the network at `path`. asked: the one that options and recipe describe. Returns the options that only the
    recipe would set otherwise.
    """
    different = [
        name
        for name in sorted(set(BY_NAME) - CHANGEABLE)
        # The table also has options of losses and of the run.
        if hasattr(own, name) and getattr(own, name) != getattr(asked, name)
    ]
    for name in different:
        refuse(given, {name}, f"{path} has {getattr(own, name)}, which --from keeps")
    return different


CHANGEABLE = {"fusion", "attention_window"}
"""Options of the network that no weight depends on, so that they apply with `--from`, too."""
