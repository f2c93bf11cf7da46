"""From the sources of a recipe to the pairs that are trained on: filtered, with mined negatives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kemb.errors import DataError
from kemb.files import disk
from kemb.models.model import Model
from kemb.models.resolve import resolve
from kemb.tasks.own.columns import Mapped
from kemb.tasks.own.findings import Findings
from kemb.tasks.own.readers import read_table
from kemb.tasks.own.values import texts_of
from kemb.training import check, dev
from kemb.training import mine as mining
from kemb.training.job import Work, counts, file_hashes, filtered, libraries, load_rows, task_hashes
from kemb.training.sections import MineSection
from kemb.training.stages import Stage
from kemb.training.teachers import ranker_of, scorer_of

if TYPE_CHECKING:
    import pyarrow as pa


_N_SHOWN = 3


def make_pairs(run: Work) -> Stage:
    """Read, filter, and mine where the recipe asks for it."""
    recipe = run.file.recipe

    def load() -> tuple[pa.Table, dict[str, Any]]:
        return load_rows(run), {}

    sections = [section.model_dump(mode="json") for section in recipe.data]
    inputs: dict[str, Any] = {
        "recipe": {"data": sections},
        "files": file_hashes(run),
        "tasks": task_hashes(run),
    }
    loaded = _stage(run, "data", inputs, load)

    def keep() -> tuple[pa.Table, dict[str, Any]]:
        table, report = filtered(run, read_pairs(loaded))
        return table, report.to_json()

    filters = recipe.filters.model_dump(mode="json")
    inputs = {
        "recipe": {"filters": filters},
        "pairs": loaded.outputs[PAIRS],
        "tasks": task_hashes(run, every=True),
    }
    stage = _stage(
        run, "filter", inputs | {"base": run.base_revision, "libraries": libraries()}, keep
    )
    if recipe.dev and recipe.dev.share:
        stage = _held_out(run, recipe.dev.share, stage)
    check.check_positives(run.file, read_pairs(stage))
    return stage if recipe.mine is None else _mine(run, recipe.mine, stage)


def read_pairs(stage: Stage) -> pa.Table:
    """The pairs that a stage holds."""
    import pyarrow.parquet as pq

    return pq.read_table(stage.folder / PAIRS)


def _stage(
    run: Work,
    name: str,
    inputs: Mapping[str, Any],
    make: Callable[[], tuple[pa.Table, dict[str, Any]]],
) -> Stage:
    """A stage whose output is a table of pairs."""
    import pyarrow.parquet as pq

    def work(folder: Path) -> dict[str, Any]:
        table, report = make()
        pq.write_table(table, folder / PAIRS)
        return {"n_rows": counts(table), **report}

    return run.stage(name, inputs, work)


def _held_out(run: Work, share: float, pairs_stage: Stage) -> Stage:
    """The rows to train on; those held out lie beside them."""
    import pyarrow.parquet as pq

    sources, seed = dev.held_out_sources(run.file), run.file.recipe.seed

    def work(folder: Path) -> dict[str, Any]:
        table, held_out_rows = dev.hold_out(read_pairs(pairs_stage), share, sources, seed)
        pq.write_table(table, folder / PAIRS)
        pq.write_table(held_out_rows, folder / DEV)
        return {"n_rows": counts(table), "n_held_out": counts(held_out_rows)}

    inputs = {
        "recipe": {"dev": {"share": share}, "seed": seed},
        "sources": sources,
        "pairs": pairs_stage.outputs[PAIRS],
    }
    return run.stage("dev", inputs, work)


def _mine(run: Work, section: MineSection, pairs_stage: Stage) -> Stage:
    """Negatives for all rows but those with scores, which need none."""
    teacher = resolve(section.teacher.id)
    reranker = resolve(section.rerank.id) if section.rerank else None
    scored = [entry.id for entry in run.file.recipe.data if entry.role == "similarity"]

    def find() -> tuple[pa.Table, dict[str, Any]]:
        import pyarrow as pa
        import pyarrow.compute as pc

        table = read_pairs(pairs_stage)
        is_scored = pc.is_in(table["source"], pa.array(scored, pa.string()))
        mined, report = mining.mine(
            table.filter(pc.invert(is_scored)),
            section,
            ranker_of(teacher, run.options.store),
            _corpus(run, section),
            scorer=scorer_of(reranker, run.options.store) if reranker else None,
            seed=run.file.recipe.seed,
        )
        return pa.concat_tables(
            [mined, table.filter(is_scored)], promote_options="default"
        ), report.to_json()

    models = [
        [model.name, model.revision] for model in (teacher, reranker) if isinstance(model, Model)
    ]
    corpus = {
        name: disk.sha256(run.root / name)
        for name in section.corpus
        if name != OWN and (run.root / name).is_file()
    }
    inputs = {
        "recipe": {"mine": section.model_dump(mode="json")},
        "pairs": pairs_stage.outputs[PAIRS],
        "models": models,
    }
    seed = run.file.recipe.seed
    return _stage(
        run, "mine", inputs | {"corpus": corpus, "seed": seed, "libraries": libraries()}, find
    )


def _corpus(run: Work, section: MineSection) -> list[str] | None:
    """Documents beside the pairs' own; None where there are none.

    :raises DataError: for a file that cannot be read, or without a column `text`.
    """
    texts: list[str] = []
    for name in section.corpus:
        if name == OWN:
            continue
        texts += read_column(run.root / name, "text")
    return texts or None


def read_column(path: Path, column: str) -> list[str]:
    """A column of texts of a Parquet, JSONL, CSV or TSV file.

    :raises DataError: when there is no such file or column, or a value is no text; file, row and
        column are named.
    """
    findings = Findings()
    table = read_table(path, str(path), findings) if path.is_file() else None
    if findings.n_errors:
        raise DataError(_listed(findings))
    if table is None or column not in table.columns:
        raise DataError(
            f"{path} cannot be read as a table with a column {column!r}: Parquet, JSONL, CSV or "
            "TSV is expected."
        )
    mapped = Mapped(str(path), table.rows, {column: table.columns[column]}, {column: column})
    texts = texts_of(mapped, column, findings)
    if findings.n_errors:
        raise DataError(f"{_listed(findings)} Fill these rows, or take them out of the file.")
    return list(texts)


def _listed(findings: Findings) -> str:
    errors = [str(finding) for finding in findings.kept if finding.level == "error"][:_N_SHOWN]
    rest = findings.n_errors - len(errors)
    return "; ".join(errors) + (f"; and {rest:,} more like these." if rest else ".")


PAIRS = "pairs.parquet"


DEV = "dev.parquet"


OWN = "data"
"""Among the names of mine.corpus: the texts of the pairs themselves."""
