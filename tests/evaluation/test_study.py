"""Studies of one model: differences are those of two plain runs, verdicts are one family, no board
is touched.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from kemb import demo, statistics
from kemb.cli import cli
from kemb.encoding.store import Store
from kemb.errors import UsageError
from kemb.evaluation.evaluate import RunOptions, Task, evaluate, load_task
from kemb.evaluation.study import prompt_study, robustness
from kemb.models.model import ModelOptions
from kemb.models.resolve import resolve
from kemb.results.files import read_items, read_results
from kemb.tasks import perturb

FOLDERS = {folder.name: folder for folder in demo.task_folders()}


def options(tmp_path: Path) -> RunOptions:
    return RunOptions(tmp_path / "results", Store(tmp_path / "store"))


def task(name: str = "ko-mini-retrieval") -> Task:
    return load_task(FOLDERS[name])


def test_a_drop_is_the_difference_of_two_plain_runs(tmp_path: Path) -> None:
    study = robustness(resolve("bm25:bigram"), [task()], ["typo"], options(tmp_path))
    (found,) = study.differences["typo"]
    plain, data = task(), perturb.perturbed(task().load(), "typo")
    runs = [
        evaluate([Task(plain.spec, load)], [resolve("bm25:bigram")], options(tmp_path / str(n)))[
            0
        ].result
        for n, load in enumerate((plain.load, lambda: data))
    ]
    assert runs[0] is not None
    assert runs[1] is not None
    assert found.scores == (runs[0].main_score, runs[1].main_score)
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.difference < found.high
    assert found.verdict == "worse"
    assert study.changed["typo"][found.title] == 1.0


def test_lengths_are_thirds_with_the_means_of_their_items(tmp_path: Path) -> None:
    run = options(tmp_path)
    study = robustness(resolve("bm25:bigram"), [task()], ["typo"], run)
    (part,) = task().load().parts
    chars = dict(zip(part.data.query_ids, map(len, part.data.queries), strict=True))  # type: ignore[union-attr]
    values = [
        item_scores(root) for root in (run.results_dir, tmp_path / "results-perturbed" / "typo")
    ]
    assert sum(one.n_items for one in study.slices) == len(values[0])
    low = 0
    for one in study.slices:
        inside = [item for item in values[0] if low < chars[item] <= one.max_chars]
        assert one.n_items == len(inside)
        assert one.goodness == pytest.approx(np.mean([values[0][item] for item in inside]))
        assert one.difference == pytest.approx(
            np.mean([values[1][item] - values[0][item] for item in inside])
        )
        assert one.low <= one.difference <= one.high
        low = one.max_chars


def test_the_items_that_changed_have_a_line_of_their_own(tmp_path: Path) -> None:
    run = options(tmp_path)
    study = robustness(resolve("bm25:bigram"), [task()], ["hanja"], run)
    before, after = (
        item_scores(root) for root in (run.results_dir, tmp_path / "results-perturbed" / "hanja")
    )
    (part,) = task().load().parts
    queries = zip(part.data.query_ids, part.data.queries, strict=True)  # type: ignore[union-attr]
    inside = [item for item, text in queries if perturb.hanja(text) != text]
    changed = study.slices[0]
    assert (changed.name, changed.n_items) == ("changed", len(inside))
    assert 10 <= len(inside) < len(before)
    assert changed.difference == pytest.approx(
        np.mean([after[item] - before[item] for item in inside])
    )


def item_scores(root: Path) -> dict[str, float]:
    (result,) = read_results(root)
    metric = result.record.task.main_metric
    return {
        row["item_id"]: row["value"]
        for row in read_items(result).to_pylist()
        if row["metric"] == metric
    }


def test_only_changed_texts_are_encoded_and_perturbed_results_lie_apart(tmp_path: Path) -> None:
    run = options(tmp_path)
    robustness(resolve("toy"), [task()], ["loanword"], run)
    (result,) = read_results(tmp_path / "results-perturbed" / "loanword")
    changed = result.record.task.notes["test/default"]["n_perturbed"]
    assert 0 < changed < 10
    assert result.record.encoded.n_encoded == changed
    assert [found.path.name for found in read_results(run.results_dir)] == [result.path.name]
    (original,) = read_results(run.results_dir)
    assert original.record.task.data_sha256 != result.record.task.data_sha256


def test_all_tests_of_a_study_are_one_family(tmp_path: Path) -> None:
    tasks = [task(name) for name in ("ko-mini-retrieval", "ko-mini-nli", "ko-mini-topics")]
    study = robustness(resolve("toy"), tasks, ["spacing", "typo"], options(tmp_path))
    cells = [cell for way in study.differences.values() for cell in way]
    assert len(cells) == 6
    raw = [cell.p for cell in cells if cell.p is not None]
    assert [cell.p_adjusted for cell in cells] == pytest.approx(
        statistics.holm(np.array(raw)).tolist()
    )
    assert "6 tests" in study.family


def test_what_does_not_change_or_does_not_apply_is_said_and_is_no_failure(tmp_path: Path) -> None:
    data = tmp_path / "pairs.csv"
    rows = [f"text {i},text {i + 1},{i % 6}" for i in range(20)]
    data.write_text("\n".join(["sentence1,sentence2,score", *rows]), encoding="utf-8")
    study = robustness(resolve("toy"), [load_task(data)], ["spacing", "nfd"], options(tmp_path))
    assert len(study.skipped) == 2
    assert "no text is changed by 'spacing'" in study.skipped[0]
    assert (study.failed, study.differences) == ([], {})
    with pytest.raises(UsageError, match="nothing to study"):
        robustness(resolve("bm25:bigram"), [load_task(data)], ["nfd"], options(tmp_path))


def test_a_run_file_has_no_answer_to_changed_queries(tmp_path: Path) -> None:
    file = tmp_path / "mine.trec"
    file.write_text("q1 Q0 d1 1 1.0 x\n", encoding="utf-8")
    with pytest.raises(UsageError, match="cannot answer changed queries"):
        robustness(resolve(f"rrf(toy, run:{file})"), [task()], ["typo"], options(tmp_path))


def test_a_prompt_study_leaves_the_declared_row_and_adds_variants(
    tmp_path: Path, tiny_transformer: Path
) -> None:
    own = tmp_path / "mine.toml"
    own.write_text('[prompts]\nsts = "문장: "\n', encoding="utf-8")
    settings = ModelOptions(device="cpu", pooling="mean", prompts_file=own)
    run = options(tmp_path)
    study = prompt_study(str(tiny_transformer), [task("ko-mini-sts")], settings, run)
    assert list(study.differences) == ["none", "korean-instruction", "mine"]
    by_variant = {
        result.variant.rpartition("prompts_")[2].rpartition("-")[0]: result
        for result in read_results(run.results_dir)
    }
    assert set(by_variant) == {"", "none", "korean-instruction", "mine"}
    prompts = {way: result.record.prompts["text"].prompt for way, result in by_variant.items()}
    assert prompts == {
        "": "",
        "none": "",
        "korean-instruction": "Instruct: 뜻이 비슷한 문장을 찾으십시오.\nQuery: ",
        "mine": "문장: ",
    }
    (none,) = study.differences["none"]  # the model declares none: the same vectors
    assert (none.difference, none.low, none.high) == (0, 0, 0)
    (instructed,) = study.differences["korean-instruction"]
    assert instructed.scores == (
        by_variant[""].main_score,
        by_variant["korean-instruction"].main_score,
    )
    with pytest.raises(UsageError, match="takes no prompts"):
        prompt_study("toy", [task("ko-mini-sts")], ModelOptions(), run)


def test_the_command_prints_tables_and_json(tmp_path: Path) -> None:
    where = [
        "--results",
        str(tmp_path / "r"),
        "--store",
        str(tmp_path / "s"),
        "--perturb",
        "spacing",
    ]
    command = ["robustness", str(FOLDERS["ko-mini-retrieval"]), "-m", "bm25:bigram", *where]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0, done.output
    assert "spacing" in done.output
    assert "it does not choose" in done.output
    (record,) = json.loads(CliRunner().invoke(cli, [*command, "--json"]).stdout)
    (cell,) = record["differences"]["spacing"]
    assert cell["difference"] == cell["scores"][1] - cell["scores"][0]
    wrong = CliRunner().invoke(cli, [*command[:-1], "shouting"])
    assert isinstance(wrong.exception, UsageError)
    assert "'shouting' is not known" in str(wrong.exception)
