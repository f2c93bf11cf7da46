from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import kemb
from invented import corpus_of, documents_of
from kemb.choosing import verb
from kemb.cli import cli
from kemb.errors import UsageError
from kemb.evaluation.evaluate import Task

MODELS = ("bm25:bigram", "tfidf:char", "toy")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fifty questions over 3,000 passages."""
    root = tmp_path_factory.mktemp("choose")
    corpus_of(root / "mydata", n_passages=50, per_passage=1, n_others=2950, n_shared=5)
    return root


def choose(root: Path, *words: str, models: tuple[str, ...] = MODELS) -> Result:
    arguments = ["choose", str(root / "mydata"), "--device", "cpu"]
    arguments += ["--results", str(root / "results"), "--store", str(root / "store")]
    arguments += [word for model in models for word in ("-m", model)]
    return CliRunner().invoke(cli, [*arguments, *words])


def test_the_whole_way_ends_with_a_row_to_take(root: Path) -> None:
    outcome = choose(root, "--stages", "50", "-o", str(root / "choose.html"))
    assert outcome.exit_code == 0, outcome.output
    assert "Declared: 5 rows, looks at " in outcome.stderr
    assert re.search(r"toy was dropped at \d+% of the documents: its difference to", outcome.stderr)
    assert re.search(r"toy was dropped at \d+% of the documents", outcome.stdout)
    assert re.search(r"On 50 questions \(ndcg@10\) ", outcome.stdout)
    assert "Take " in outcome.stdout
    assert "when the choice is made again in every resample" in outcome.stdout
    assert "nori_tokenizer" in outcome.stdout
    page = (root / "choose.html").read_text(encoding="utf-8")
    assert "Which model to take for mydata" in page
    assert "http-equiv" not in page
    assert "<script" not in page
    assert 'src="' not in page
    assert outcome.stdout.index("Take ") < outcome.stdout.index("nori_tokenizer")


def test_a_second_time_scores_nothing_again_and_says_the_same(root: Path) -> None:
    first = choose(root, "--stages", "50", "--json")
    times = {path: path.stat().st_mtime_ns for path in root.glob("results*/**/*.json")}
    assert any("results-choose" in str(path) for path in times)
    again = choose(root, "--stages", "50", "--json")
    assert again.stdout == first.stdout
    assert times == {path: path.stat().st_mtime_ns for path in root.glob("results*/**/*.json")}


def test_the_record_holds_looks_rows_and_sentences(root: Path) -> None:
    record = json.loads(choose(root, "--stages", "50", "--json").stdout)
    assert [look["alpha"] for look in record["looks"]] == pytest.approx([0.02, 0.03])
    assert record["looks"][0]["n_documents"] < record["looks"][1]["n_documents"] == 3000
    names = [row["name"] for row in record["rows"]]
    assert "toy" not in names
    assert record["take"] in record["first_group"]
    assert record["n_questions"] == 50
    low, high = record["interval"]
    assert 0 <= low < high <= 1
    assert record["sentences"][0].startswith(f"Take {record['take']}")
    assert record["sentences"][1].startswith("On 50 questions (ndcg@10)")


def test_korean_sentences(root: Path) -> None:
    outcome = choose(root, "--stages", "", "--lang", "ko")
    assert "질문 50개(ndcg@10)에서" in outcome.stdout
    assert "쓰십시오." in outcome.stdout
    assert "미리 정함: 5개 행, 모든 문서를 한 번 봅니다." in outcome.stderr


def test_looks_that_are_asked_for_and_not_made_are_said(root: Path) -> None:
    two = ("bm25:bigram", "toy")
    outcome = choose(root, "--stages", "10,30", "--no-hybrids", models=two)
    assert "--stages: 2 of its 2 looks are not made: with fewer than three rows" in outcome.stderr
    assert "--stages" not in choose(root, "--no-hybrids", models=two).stderr
    korean = choose(root, "--stages", "99", "--lang", "ko")
    assert "--stages: 1번 가운데 1번은 보지 않습니다." in korean.stderr


def test_a_folder_with_a_readme_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = corpus_of(tmp_path / "mydata", n_passages=12, per_passage=1)
    (folder / "README.md").write_text("# 내 자료\n", encoding="utf-8")
    targets: list[list[str]] = []
    original = verb.load_tasks

    def load_tasks(names: list[str], data: Path | None, hear: verb.Hear) -> list[Task]:
        targets.append(names)
        return original(names, data, hear)

    monkeypatch.setattr(verb, "load_tasks", load_tasks)
    assert verb.task_of(folder, None, print).spec.name == "mydata"
    assert targets == [[str(folder)]]


def test_few_questions_drop_nothing_and_one_row_is_no_choice(tmp_path: Path) -> None:
    corpus_of(tmp_path / "mydata", n_passages=12, per_passage=1)
    outcome = choose(tmp_path, "--stages", "50")
    assert "was dropped" not in outcome.output
    assert "fewer than 50 questions" in outcome.stdout
    alone = choose(tmp_path, models=("toy",))
    assert "there is only toy, so there is nothing to choose from" in alone.stdout
    assert "VectorParams(size=256" in alone.stdout
    assert "vector_cosine_ops" in alone.stdout


@pytest.mark.parametrize(("per_passage", "said"), [(1, "has 1 question,"), (60, "has 60 ques")])
def test_questions_on_one_passage_are_no_ground_for_a_choice(
    tmp_path: Path, per_passage: int, said: str
) -> None:
    """All resamples of them are alike, so that every row would seem certainly better or worse."""
    corpus_of(tmp_path / "mydata", n_passages=1, per_passage=per_passage, n_others=30)
    outcome = choose(tmp_path, "--stages", "50")
    assert isinstance(outcome.exception, UsageError)
    assert said in str(outcome.exception)


def test_questions_on_few_passages_drop_nothing_and_say_so(tmp_path: Path) -> None:
    corpus_of(tmp_path / "mydata", n_passages=12, per_passage=5, n_others=100)
    outcome = choose(tmp_path, "--stages", "50")
    assert "was dropped" not in outcome.output
    assert "60 questions are on fewer than 50 passages of their own (12)" in outcome.stdout


def test_a_folder_of_documents_is_drafted_once_and_decided_on(tmp_path: Path) -> None:
    documents_of(tmp_path / "mydata")
    (tmp_path / "mydata/old.doc").write_bytes(b"x")
    first = choose(tmp_path)
    assert first.exit_code == 0, first.output
    assert "holds documents and no questions; questions are drafted into" in first.stderr
    assert "Of the documents: old.doc: is no document that is read" in first.stderr
    assert re.search(r"On \d+ questions \(ndcg@10\)", first.stdout)
    assert "a person has seen 0% of them. Type kemb review" in first.stdout
    assert "No passage was judged wrong" in first.stdout
    pool = (tmp_path / "mydata-test/pool.jsonl").read_text(encoding="utf-8")
    assert {json.loads(line)["retriever"] for line in pool.splitlines()} >= set(MODELS)
    assert (tmp_path / "mydata-test/deciding.jsonl").is_file()
    again = choose(tmp_path)
    assert "those that were drafted into" in again.stderr
    assert f"To draft from the documents as they are now: kemb draft {tmp_path}" in again.stderr
    assert again.stdout == first.stdout


def test_python_gives_the_same_choice(root: Path) -> None:
    heard: list[str] = []
    with pytest.raises(kemb.KembError, match="200 points cannot be planned for"):
        kemb.choose(root / "mydata", MODELS, difference=2)
    choice = kemb.choose(
        root / "mydata",
        MODELS,
        results=root / "results",
        store=root / "store",
        shares=(),
        hear=lambda text: heard.append(str(text)),
    )
    record = json.loads(choose(root, "--stages", "", "--json").stdout)
    assert choice.pick.name == record["take"]
    assert heard


def test_a_budget_that_is_over_names_what_was_not_reached(root: Path) -> None:
    outcome = choose(root, "--stages", "", "--budget", "0.001s")
    assert "not reached within --budget" in str(outcome.exception)


def test_a_look_that_the_budget_cuts_short_leaves_the_whole_one_before_it(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time is over after the first look: what it saw stands, and is said to be a part."""
    from kemb.choosing import choose as choosing

    clock = {"is_over": False}
    monkeypatch.setattr(choosing._Work, "is_over", property(lambda work: clock["is_over"]))
    look = choosing._Work.look

    def late(*arguments: Any) -> Any:  # noqa: ANN401
        came = look(*arguments)
        clock["is_over"] = True
        return came

    monkeypatch.setattr(choosing._Work, "look", late)
    record = json.loads(choose(root, "--stages", "50", "--budget", "10m", "--json").stdout)
    assert len(record["looks"]) == 1
    assert record["n_documents"] < 3000
    assert any(text.startswith("The time was over: this rests on ") for text in record["sentences"])
    assert "toy" in [row["name"] for row in record["rows"]]


def test_texts_from_outside_are_escaped_on_the_page(tmp_path: Path) -> None:
    corpus_of(tmp_path / "mydata", n_passages=12, per_passage=1)
    lines = (tmp_path / "mydata/queries.jsonl").read_text(encoding="utf-8").splitlines()
    first = json.loads(lines[0]) | {"text": "<img src=x onerror=alert(1)>"}
    text = "\n".join([json.dumps(first), *lines[1:]]) + "\n"
    (tmp_path / "mydata/queries.jsonl").write_text(text, encoding="utf-8")
    outcome = choose(tmp_path, "-o", str(tmp_path / "page.html"), models=("bm25:bigram",))
    assert outcome.exit_code == 0, outcome.output
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<img" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--budget", "soon"], "is no time"),
        (["--max-params", "small"], "is no number of parameters"),
        (["--stages", "ten"], "is no percentage"),
        (["--stages", "30,10"], "ascending"),
        (["--difference", "0"], "cannot be planned for"),
        (["--max-gb", "-1"], "is no size"),
    ],
)
def test_what_cannot_be_is_one_sentence(root: Path, words: list[str], message: str) -> None:
    outcome = choose(root, *words)
    assert message in str(outcome.exception)
    assert outcome.exit_code != 0


def test_where_unjudged_passages_could_turn_the_order_there_is_no_verdict(tmp_path: Path) -> None:
    documents_of(tmp_path / "mydata")
    choose(tmp_path, models=("bm25:bigram", "toy"))
    drafted = tmp_path / "mydata-test"
    right = {
        tuple(line.split("\t")[:2])
        for line in (drafted / "qrels/test.tsv").read_text(encoding="utf-8").splitlines()
    }
    first_ten = map(json.loads, (drafted / "pool.jsonl").read_text("utf-8").splitlines())
    pairs = {
        (entry["query"], entry["document"])
        for entry in first_ten
        if entry["retriever"] == "bm25:bigram"
    }
    at = "2026-01-01T00:00:00+00:00"
    lines = [
        json.dumps({"query": query, "document": document, "decision": "wrong", "at": at})
        for query, document in sorted(pairs - right)
    ]
    (drafted / "review").mkdir()
    (drafted / "review/kim.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    outcome = choose(tmp_path, models=("bm25:bigram", "toy"))
    assert "Cannot be compared yet: these " in outcome.stdout
    answer = outcome.stdout.index("There is no verdict until the pairs named below are judged")
    assert answer < outcome.stdout.index("Cannot be compared yet: these ")
    assert "Take " not in outcome.stdout


def test_a_table_among_documents_is_refused_with_the_way_out(tmp_path: Path) -> None:
    documents_of(tmp_path / "mydata")
    (tmp_path / "mydata/phones.csv").write_text("이름,전화\n김,1\n", encoding="utf-8")
    outcome = choose(tmp_path)
    assert outcome.exit_code == 1
    assert "found the columns 이름, 전화" in str(outcome.exception)
    beside = tmp_path / "mydata-test"
    assert f"kemb draft {tmp_path / 'mydata'} -o {beside}" in str(outcome.exception)
