"""`kemb verify` of the files of a results folder that are no results."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from kemb.cli import cli
from kemb.errors import ResultError
from kemb.files.disk import refuse_bomb
from kemb.publishing.results_files import check_file, is_other_file
from kemb.results.claims import ClaimRow, Source, claims_path, write_claims

META = {"name": "org/model", "revision": "abc", "n_parameters": 7, "open_weights": True}


def meta_file(root: Path, content: object, folder: str = "org__model") -> Path:
    path = root / folder / "abc" / "model_meta.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_a_description_beside_its_model_passes(tmp_path: Path) -> None:
    path = meta_file(tmp_path, META)
    assert is_other_file(path)
    check_file(path)
    done = CliRunner().invoke(cli, ["verify", str(path), "--items-only"])
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"name": "org/other"}, "in the folder of another"),
        ({"name": None}, "in the folder of another"),
        ({"name": 5}, "name: "),
        ({"reference": "javascript:alert(1)"}, "reference: an address begins with https"),
        ({"languages": "kor"}, "languages: "),
        ({"n_parameters": -1}, "n_parameters"),
        ({"n_parameters": 10**30}, "n_parameters"),
        ({"license": "x" * 10_000}, "license: "),
        ({"license": "\x1b[31m"}, "cannot be shown"),
    ],
)
def test_another_description_is_refused(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    with pytest.raises(ResultError, match=says) as caught:
        check_file(meta_file(tmp_path, META | change))
    assert "model_meta.json" in str(caught.value)


@pytest.mark.parametrize("content", [None, [], 5, "x"])
def test_a_description_is_an_object(tmp_path: Path, content: object) -> None:
    with pytest.raises(ResultError, match=r"model_meta\.json does not describe a model"):
        check_file(meta_file(tmp_path, content))


def claims(root: Path, value: float = 0.5, name: str = "a source") -> Path:
    path = claims_path(root, name)
    row = ClaimRow("org/model", "abc", "", "KorSTS", "", "test", "default", "main_score", value)
    write_claims(path, [row], Source("a source"))
    return path


def test_claims_of_another_name_or_with_what_is_no_fraction_are_refused(tmp_path: Path) -> None:
    path = claims(tmp_path)
    check_file(path)
    with pytest.raises(ResultError, match="has not the name"):
        check_file(claims(tmp_path, name="another"))
    table = pq.read_table(path)
    values = table.schema.get_field_index("value")
    for value in (1.5, float("nan"), float("inf")):
        changed = table.set_column(values, table.schema.field(values), [[value]])
        pq.write_table(changed.replace_schema_metadata(table.schema.metadata), path)
        with pytest.raises(ResultError, match="is no fraction"):
            check_file(path)


def test_a_snapshot_is_what_its_name_says(tmp_path: Path) -> None:
    path = tmp_path / "snapshots" / "2026-01-01-00000000.json"
    path.parent.mkdir()
    for content in ("{}", "[", '{"schema_version": 99}', "[" * 100_000):
        path.write_text(content)
        with pytest.raises(ResultError, match="2026-01-01-00000000"):
            check_file(path)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    folder = tmp_path / "org__model" / "abc"
    folder.mkdir(parents=True)
    os.mkfifo(folder / "model_meta.json")
    with pytest.raises(ResultError, match="no regular file"):
        check_file(folder / "model_meta.json")
    (tmp_path / "claims").mkdir()
    os.mkfifo(tmp_path / "claims" / "a.parquet")
    with pytest.raises(ResultError, match="no regular file"):
        check_file(tmp_path / "claims" / "a.parquet")
    with pytest.raises(ValueError, match="no regular file"):
        refuse_bomb(Path("/dev/zero"))
