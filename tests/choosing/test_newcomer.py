"""A newcomer with twenty Korean Markdown files and nothing else gets a decision, pages included."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from browser import chromium
from kemb.cli import cli

pytestmark = [pytest.mark.shared, pytest.mark.slow]

N_FILES = 20


@pytest.fixture(scope="module")
def documents(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The largest pages of technical documentation, put together from their sections."""
    pack = shared_data / "packs" / "DocsKo"
    heading = {
        row["id"]: row["text"] for row in pq.read_table(pack / "queries.parquet").to_pylist()
    }
    section = {row["id"]: row["text"] for row in pq.read_table(pack / "corpus.parquet").to_pylist()}
    sections: dict[str, list[str]] = defaultdict(list)
    for row in pq.read_table(pack / "qrels.parquet").to_pylist():
        title, *path = heading[row["query-id"]].split(" > ")
        mark = "#" * (1 + len(path))
        sections[title].append(f"{mark} {[title, *path][-1]}\n\n{section[row['corpus-id']]}\n")
    folder = tmp_path_factory.mktemp("newcomer") / "docs"
    folder.mkdir()
    titles = sorted(sections, key=lambda title: len(sections[title]), reverse=True)
    for number, title in enumerate(titles[:N_FILES]):
        text = "\n".join(sections[title])
        (folder / f"문서{number}.md").write_text(text, encoding="utf-8")
    return folder


def test_a_folder_of_documents_ends_in_a_decision(
    documents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(documents.parent)
    typed = ["choose", "./docs", "-o", "choose.html", "--lang", "ko", "--store", "store"]
    outcome = CliRunner().invoke(cli, typed)
    assert outcome.exit_code == 0, outcome.output
    assert re.search(r"질문 \d+개\(ndcg@10\)", outcome.stdout)
    take = re.search(r"^(\S+)[을를] 쓰십시오\.$", outcome.stdout, re.MULTILINE)
    assert take

    drafted = documents.parent / "docs-test"
    questions = (drafted / "queries.jsonl").read_text("utf-8").splitlines()
    assert len(questions) > 200
    sources = (drafted / "sources.jsonl").read_text("utf-8").splitlines()
    text_of = {json.loads(line)["_id"]: json.loads(line)["text"] for line in sources}
    assert len(text_of) == N_FILES
    for question in map(json.loads, questions):
        for span in question["spans"]:
            assert text_of[span["source"]][span["start"] : span["end"]].strip()

    with chromium() as browser:
        page = browser.new_page()
        page.goto((documents.parent / "choose.html").as_uri())
        assert take[1] in page.locator("tr").nth(1).inner_text()
        assert take[0] in page.locator("body").inner_text()
