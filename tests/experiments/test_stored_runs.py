"""The stored runs of the synthetic experiments are of the recipes that would be run today."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="torch is not installed (it is part of [train])")

from experiments import cten_planted, cten_table2, gim_planted
from sentiloc.model.cten.synthetic import PlantedEmotions
from sentiloc.model.gim.network import GIMConfig
from sentiloc.model.gim.synthetic import PlantedExpressions, planted_expressions
from sentiloc.model.gim.training import GIMTrainConfig


def gim_recipe() -> GIMTrainConfig:
    inputs = planted_expressions(PlantedExpressions(), 1, 1)[0].flow.shape[1]
    return GIMTrainConfig(network=GIMConfig(inputs=inputs, width=gim_planted.WIDTH)).quick()


EMOTIONS = cten_planted.recipe(PlantedEmotions())


@pytest.mark.parametrize(
    ("result", "world", "recipe"),
    [
        (cten_planted.RESULT, PlantedEmotions(), EMOTIONS),
        (cten_table2.RESULT, PlantedEmotions(), EMOTIONS),
        (gim_planted.RESULT, PlantedExpressions(), gim_recipe()),
    ],
    ids=["cten_planted", "cten_table2", "gim_planted"],
)
def test_stored_runs_are_of_the_present_recipe(result: Path, world: Any, recipe: Any) -> None:
    """Otherwise the next call of the experiment would drop them: also those with a new field's default."""
    stored = json.loads(result.read_text(encoding="utf-8"))
    assert stored["runs"]
    assert {"world": stored["world"], "recipe": stored["recipe"]} == json.loads(
        json.dumps({"world": asdict(world), "recipe": asdict(recipe)})
    )
