"""A trained model to the hub: what would keep it from there is said before any work."""

from __future__ import annotations

from pathlib import Path

from kemb.audit import audit
from kemb.errors import RunError, UsageError
from kemb.publishing.card.card import README
from kemb.publishing.hub import Target, find_target, push_folder
from kemb.training.data import refuse_restricted
from kemb.training.recipe import RecipeFile


def target_of(file: RecipeFile) -> Target:
    """The repository of a recipe.

    :raises UsageError: for a recipe that names none, or no licence; and as `find_target`.
    :raises DataError: for data that a published model must not be trained on.
    """
    recipe = file.recipe
    if recipe.publish is None:
        raise UsageError(f'{file.path} does not say where to. Add a section [publish] with repo = "ORG/NAME".')
    if not recipe.card.license:
        raise file.error(("card",), 'a published model needs a licence; add license = "apache-2.0", or another.')
    refuse_restricted(recipe.data)
    return find_target(recipe.publish.repo, recipe.publish.private)


def push_model(target: Target, model_dir: Path) -> str:
    """Upload the folder of a model that has passed its proof; the address of the commit.

    :raises RunError: when `kemb audit` finds something in its card; FetchError when the hub refuses.
    """
    readme = model_dir / README
    if found := [finding for finding in audit([readme]).findings if not finding.confirms]:
        raise RunError(
            f"The card {readme} is not in order, so nothing was uploaded: {found[0].what} Findings in all: "
            f"{len(found)}; type: kemb audit {readme}"
        )
    return push_folder(target, model_dir)
