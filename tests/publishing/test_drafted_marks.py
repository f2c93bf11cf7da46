"""Drafted questions are marked where scores are shown, with the share that a person has seen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kemb.boards import build_board
from kemb.drafting.pools import ranking_of_result
from kemb.encoding.store import Store
from kemb.errors import DataError
from kemb.evaluation.evaluate import RunOptions, evaluate
from kemb.evaluation.targets import load_tasks
from kemb.models.resolve import resolve
from kemb.publishing.tables import to_markdown
from kemb.results.files import read_results
from kemb.tasks.own.decisions import seen_share

N_QUESTIONS = 4
FRUITS = ("사과", "바나나", "포도", "복숭아", "자두", "살구")


def drafted_folder(folder: Path, toml: str = "drafted = true\n") -> Path:
    (folder / "qrels").mkdir(parents=True)
    corpus = [{"_id": f"d{n}", "text": f"{fruit} 재배"} for n, fruit in enumerate(FRUITS)]
    queries = [{"_id": f"q{n}", "text": FRUITS[n]} for n in range(N_QUESTIONS)]
    for name, rows in {"corpus": corpus, "queries": queries}.items():
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
        (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    qrels = "".join(f"q{n}\td{n}\t1\n" for n in range(N_QUESTIONS))
    (folder / "qrels" / "test.tsv").write_text(qrels, encoding="utf-8")
    (folder / "task.toml").write_text(toml, encoding="utf-8")
    return folder


def decide(folder: Path, reviewer: str, *lines: str) -> None:
    (folder / "review").mkdir(exist_ok=True)
    with (folder / "review" / f"{reviewer}.jsonl").open("a", encoding="utf-8") as file:
        file.write("".join(lines))


def decision(query: str, what: str = "accept") -> str:
    return json.dumps({"query": query, "decision": what}) + "\n"


def judgment(query: str, what: str, document: str) -> str:
    return json.dumps({"query": query, "decision": what, "document": document}) + "\n"


def test_the_share_that_a_person_has_seen(tmp_path: Path) -> None:
    folder = drafted_folder(tmp_path / "set")
    assert seen_share(folder) == 0.0
    decide(folder, "kim", decision("q0"), decision("q1"))
    decide(folder, "lee", decision("q1", "accept"), '{"query": "q2", "deci')
    assert seen_share(folder) == 0.5
    decide(folder, "kim", decision("q0", "none"))
    assert seen_share(folder) == 0.25
    assert seen_share(tmp_path / "nowhere") == 0.0
    (folder / "queries.jsonl").write_text('{"id": "q0", "text": "Q"}\n', encoding="utf-8")
    assert seen_share(folder) == 0.0
    (folder / "queries.jsonl").write_text("[]\n", encoding="utf-8")
    with pytest.raises(DataError, match="row 1 is no JSON object"):
        seen_share(folder)


def scored(folder: Path, tmp_path: Path) -> Path:
    results = tmp_path / "results"
    options = RunOptions(results_dir=results, store=Store(tmp_path / "store"))
    [outcome] = evaluate(load_tasks((str(folder),), None), [resolve("bm25:bigram")], options)
    assert outcome.status in ("scored", "kept"), outcome.message
    return results


def test_records_and_boards_carry_the_mark(tmp_path: Path) -> None:
    folder = drafted_folder(tmp_path / "set")
    decide(folder, "kim", decision("q3"))
    [result] = read_results(scored(folder, tmp_path))
    assert result.kemb is not None
    task = result.kemb.task
    assert (task.drafted, task.seen) == (True, 0.25)
    board = build_board([result])
    english, korean = (to_markdown(board, lang=lang) for lang in ("en", "ko"))
    assert " ✎" in english
    assert "nobody asked them; a person has seen 25% of them." in english
    assert "사람이 확인한 것은 25%" in korean


def test_records_and_boards_show_what_was_judged(tmp_path: Path) -> None:
    folder = drafted_folder(tmp_path / "set")
    # bm25:bigram finds "사과" in d0 alone; with d1 right as well it stays 0 without unjudged ones.
    decide(folder, "kim", judgment("q0", "right", "d1"), judgment("q1", "wrong", "d2"))
    [result] = read_results(scored(folder, tmp_path))
    ranking = ranking_of_result(result)
    judged = {"q0": {"d0", "d1"}, "q1": {"d1", "d2"}, "q2": {"d2"}, "q3": {"d3"}}
    shares = [
        len(judged[query].intersection(ranking[query][:10])) / len(ranking[query][:10])
        for query in judged
    ]
    assert result.kemb is not None
    record = result.kemb.judged["test/default"]
    assert record.at_10 == pytest.approx(sum(shares) / 4)
    assert record.condensed is not None
    assert record.condensed >= result.main_score
    table = to_markdown(build_board([result]), lang="en")
    assert "Judged@10" in table
    assert f" {record.at_10:.0%} " in table
    assert f" {record.condensed * 100:.2f} " in table
    assert "Unjudged ones count as wrong in the score" in table
    # Another command keeps what it does not make again.
    assert read_results(scored(folder, tmp_path))[0].kemb == result.kemb


def test_where_nothing_was_judged_wrong_no_score_without_unjudged_is_shown(tmp_path: Path) -> None:
    folder = drafted_folder(tmp_path / "set")
    [result] = read_results(scored(folder, tmp_path))
    assert result.kemb is not None
    assert result.kemb.judged["test/default"].condensed is None
    table = to_markdown(build_board([result]), lang="en")
    assert "Judged@10" in table
    assert "Without unjudged" not in table


def test_other_questions_carry_none(tmp_path: Path) -> None:
    [result] = read_results(scored(drafted_folder(tmp_path / "set", ""), tmp_path))
    assert result.kemb is not None
    assert (result.kemb.task.drafted, result.kemb.task.seen) == (False, None)
    record = result.path.read_text(encoding="utf-8")
    assert "drafted" not in record
    assert "judged" not in record
    assert "Judged@10" not in to_markdown(build_board([result]))
    assert "✎" not in to_markdown(build_board([result]))
