"""`kemb choose --chunks`: ways of cutting are rows like models, on the same questions."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from drafted_set import SOURCES, lines, write_set
from kemb.choosing import cuts
from kemb.choosing.candidates import Limits
from kemb.choosing.choose import ChooseOptions
from kemb.choosing.verb import candidates_of, choose_chunks, task_of
from kemb.cli import cli
from kemb.encoding.store import Store
from kemb.errors import UsageError
from kemb.evaluation import deadline
from kemb.evaluation.evaluate import Outcome, Reporter, RunOptions, Task, evaluate
from kemb.models.model import Model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_set(tmp_path / "set")


def choose(folder: Path, *arguments: str) -> Result:
    where = folder.parent
    keeping = ["--results", str(where / "results"), "--store", str(where / "store")]
    models = ["-m", "bm25:bigram", "-m", "toy", "--no-hybrids"]
    return CliRunner().invoke(cli, ["choose", str(folder), *models, *keeping, *arguments])


def rows_of(result: Result) -> dict[str, dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return {row["name"]: row for row in json.loads(result.output)["rows"]}


def test_every_way_of_cutting_with_every_model_is_a_row(folder: Path) -> None:
    result = choose(folder, "--chunks", "fixed:12, document ,fixed:12", "--json")
    rows = rows_of(result)
    assert sorted(rows) == [
        "document · bm25:bigram",
        "document · toy",
        "fixed:12 · bm25:bigram",
        "fixed:12 · toy",
    ]
    whole = rows["document · toy"]
    assert whole["metrics"]["span_recall@2000"] == 1
    assert (whole["n_chunks"], whole["n_characters"]) == (3, sum(map(len, SOURCES.values())))
    assert rows["fixed:12 · toy"]["metrics"]["ndcg@10"] < 1
    record = json.loads(result.output)
    assert record["metric"] == "span_recall@2000"
    assert (record["n_questions"], record["n_clusters"]) == (3, 3)
    assert record["take"] in rows
    assert record["sentences"][0].startswith("The questions were drafted from the documents; a")


def test_overlap_is_counted_in_the_index_and_the_smaller_index_is_taken(folder: Path) -> None:
    result = choose(folder, "--chunks", "fixed:30+20,fixed:30", "--json")
    rows = rows_of(result)
    plain, repeated = rows["fixed:30 · bm25:bigram"], rows["fixed:30+20 · bm25:bigram"]
    assert repeated["n_characters"] > 1.5 * plain["n_characters"]
    assert plain["metrics"]["span_recall@2000"] == repeated["metrics"]["span_recall@2000"] == 1
    assert json.loads(result.output)["take"].startswith("fixed:30 ·")


def test_the_table_and_the_sentences(folder: Path) -> None:
    result = choose(folder, "--chunks", "fixed:12,document", "--lang", "en")
    assert result.exit_code == 0, result.output
    assert "Declared: 4 rows (ways of cutting with models)" in result.stderr
    assert "Answer in 2,000" in result.stdout
    assert "Small means here" in result.stdout
    assert "3 questions (span_recall@2000), 3 of them on passages of their own" in result.stdout
    assert "Take " not in result.stdout
    korean = choose(folder, "--chunks", "fixed:12,document", "--lang", "ko")
    assert "자르는 방법과 모델의 짝" in korean.stderr


def test_the_page_is_the_same_in_both_languages_and_escapes_what_is_from_outside(
    tmp_path: Path,
) -> None:
    (tmp_path / "<img src=x>").mkdir()
    odd = write_set(tmp_path / "<img src=x>" / "set")
    for lang, title in (("en", "How to cut the documents of"), ("ko", "의 문서를 자르는 방법")):
        page = tmp_path / f"{lang}.html"
        result = choose(odd, "--chunks", "fixed:12,document", "--lang", lang, "-o", str(page))
        assert result.exit_code == 0, result.output
        assert str(page) in result.stdout
        text = page.read_text(encoding="utf-8")
        assert title in text
        assert f'<html lang="{lang}">' in text
        assert text.count('<th scope="row">') == 4
        assert text.count('class="pick"') == 1
        assert "&lt;img src=x&gt;" in text
        assert not re.search(r"<img|<script|src=\"|<pre", text)


def test_questions_are_drafted_from_documents_first(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    for name, text in SOURCES.items():
        (docs / name).write_text(f"# 안내\n\nQ. {text.split('.')[0]}일까요?\nA. {text}\n")
    choice = choose_chunks(
        docs,
        ["fixed:20"],
        ["bm25:bigram"],
        results=tmp_path / "results",
        store=tmp_path / "store",
        hybrids=False,
    )
    assert (tmp_path / "docs-test" / "sources.jsonl").is_file()
    assert [row.name for row in choice.rows] == ["fixed:20 · bm25:bigram"]


def test_a_row_that_fails_is_named_and_the_others_go_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_with_toy(
        tasks: list[Task], models: list[Model], run: RunOptions, reporter: Reporter | None
    ) -> list[Outcome]:
        if models[0].row == "toy":
            return [Outcome("toy", tasks[0].spec.name, "failed", message="out of memory")]
        return evaluate(tasks, models, run, reporter)

    monkeypatch.setattr(cuts, "evaluate", fail_with_toy)
    run = ChooseOptions(RunOptions(tmp_path / "results", Store(tmp_path / "store")))
    task = task_of(folder, None, lambda text: None)
    tried, left_out = candidates_of(task, ["bm25:bigram", "toy"], Limits(), hybrids=False)
    choice = cuts.choose_cuts(folder, ["document"], tried, run, left_out)
    assert [row.name for row in choice.rows] == ["document · bm25:bigram"]
    assert [(entry.name, entry.why) for entry in choice.left_out] == [
        ("document · toy", "out of memory")
    ]
    with pytest.raises(UsageError, match=r"No model could be measured .*out of memory"):
        cuts.choose_cuts(folder, ["document"], tried[1:], run)


def test_a_budget_that_is_over_names_what_is_missing_and_the_same_command_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time is over when the fourth row begins: three have scores, it has none."""
    words = ["--chunks", "fixed:12,document", "--budget", "10m", "--json"]
    command = ["kemb", "choose", str(folder), *words]
    monkeypatch.setattr("sys.argv", command)
    begun: list[str] = []

    def late(tasks: list[Task], models: list[Model], *rest: Any) -> list[Outcome]:  # noqa: ANN401
        begun.append(models[0].row)
        return evaluate(tasks, models, *rest)

    monkeypatch.setattr(cuts, "evaluate", late)
    monkeypatch.setattr(
        deadline.Deadline, "is_over", property(lambda self: len(begun) >= 4), raising=True
    )
    record = json.loads(choose(folder, *words).stdout)
    assert [row["name"] for row in record["rows"]].count("document · toy") == 0
    assert len(record["rows"]) == 3
    [entry] = record["left_out"]
    assert entry["name"] == "document · toy"
    assert re.fullmatch(
        r"stopped half-way by --budget, so no score: (\d) of \d texts are not encoded", entry["why"]
    )
    assert record["sentences"][0] == (
        "The time was over; what was encoded and scored stays. To go on: "
        f"kemb choose {folder} --chunks fixed:12,document --json"
    )
    monkeypatch.undo()
    whole = json.loads(choose(folder, *words).stdout)
    assert len(whole["rows"]) == 4
    assert not whole["left_out"]
    assert "The time was over" not in whole["sentences"][0]


def test_more_questions_are_planned_for_the_declared_difference(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    for n in range(30):
        text = f"{n}번 창구는 {n * 3}층에 있다. 전화는 {n * 7}번이다. " * (1 + n % 4)
        (docs / f"{n}.md").write_text(f"# 안내\n\nQ. {n}번 창구는 몇 층인가요?\nA. {text}\n")
    words = ["--chunks", "fixed:40,fixed:25", "--difference", "5", "--json"]
    record = json.loads(choose(docs, *words).stdout)
    plan = record["plan"]
    assert plan["difference"] == 0.05
    assert {plan["a"], plan["b"]} <= set(record["first_group"])
    assert plan["a"] == record["take"]
    assert any("a difference of 5 points" in sentence for sentence in record["sentences"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--chunks", "paragraph:3"], "Unknown chunking 'paragraph:3'"),
        (["--chunks", ","], "--chunks names nothing"),
        (["--chunks", "document", "--budget", "soon"], "is no time"),
        (["--chunks", "document", "--stages", "20"], "so that a part of them would save nothing"),
        (["--chunks", "document", "--difference", "0"], "cannot be planned for"),
    ],
)
def test_what_cannot_be(folder: Path, arguments: list[str], message: str) -> None:
    result = choose(folder, *arguments)
    assert isinstance(result.exception, UsageError)
    assert message in str(result.exception)


def test_passages_that_somebody_else_cut_are_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "task.toml").write_text('type = "retrieval"\nsplits = ["test"]\n')
    (folder / "sources.jsonl").unlink()
    lines(folder / "queries.jsonl", [{"_id": f"q{i}", "text": "질문"} for i in (1, 2, 3)])
    with pytest.raises(UsageError, match="--chunks cuts documents"):
        choose_chunks(folder, ["document"], ["bm25:bigram"], results=tmp_path / "results")
