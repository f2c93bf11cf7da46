"""One recipe with several seeds: every fit is a stage, the first is the model, the spread stands on
the card.
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import pytest

pytest.importorskip("accelerate")
from kemb.errors import UsageError
from kemb.pipeline import train
from kemb.training.proof import with_n_seeds
from kemb.training.recipe import read_recipe
from test_train import changed, folder, options, weights

pytestmark = pytest.mark.torch

__all__ = ["folder"]


def test_the_model_is_that_of_the_first_seed_and_the_others_are_kept(
    folder: Path, tmp_path: Path
) -> None:
    slow = ("lr = 0.05", "lr = 0.005")
    alone = {
        seed: train(
            read_recipe(changed(folder, slow, ("[base]", f"seed = {seed}\n[base]"))),
            options(tmp_path, str(seed)),
        )
        for seed in (7, 8)
    }
    outcome = train(
        read_recipe(changed(folder, slow, ("[base]", "seeds = [7, 8]\n[base]"))), options(tmp_path)
    )
    names = ["data", "filter", "base", "fit", "proof", "base-seed-8", "fit-seed-8", "seeds"]
    assert [stage.name for stage in outcome.stages] == names
    (spread,) = outcome.spread
    by_hand = [alone[seed].proof.comparison.cells[0].scores[1] for seed in (7, 8)]
    assert list(spread.scores.values()) == by_hand
    assert by_hand[0] != by_hand[1]
    assert spread.mean == pytest.approx(statistics.mean(by_hand))
    assert spread.sd == pytest.approx(statistics.stdev(by_hand))
    assert spread.n_above == 2
    assert outcome.model_dir is not None
    assert alone[7].model_dir is not None
    assert weights(outcome.model_dir) == weights(alone[7].model_dir)
    card = (outcome.model_dir / "README.md").read_text(encoding="utf-8")
    assert "This model is that of the first, 7, as was set before any of them was scored" in card
    assert f"| {by_hand[0] * 100:.2f} | {by_hand[1] * 100:.2f} | {spread.mean * 100:.2f} |" in card
    lock = json.loads(outcome.lock_path.read_text(encoding="utf-8"))
    assert lock["reads"] == {"my-search": 2}
    again = train(read_recipe(folder / "changed.toml"), options(tmp_path))
    assert all(stage.was_there for stage in again.stages)
    assert again.spread == outcome.spread
    assert json.loads(again.lock_path.read_text(encoding="utf-8"))["reads"] == {"my-search": 2}


def test_seeds_are_listed_or_counted(folder: Path) -> None:
    file = read_recipe(folder / "recipe.toml")
    assert with_n_seeds(file, 3).recipe.seeds == [42, 43, 44]
    assert read_recipe(changed(folder, ("[base]", "seeds = [7, 8]\n[base]"))).recipe.seed == 7
    for wrong in ("seed = 1\nseeds = [7, 8]", "seeds = [7, 7]", "seeds = [-1, 2]"):
        with pytest.raises(UsageError, match=r"changed.toml, line \d+: .*seeds"):
            read_recipe(changed(folder, ("[base]", f"{wrong}\n[base]")))
