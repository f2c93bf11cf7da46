from __future__ import annotations

import hashlib
import json
import random
import re
import shlex
import stat
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner, Result

from kemb.cli import cli
from kemb.encoding.store import Store
from kemb.errors import ResultError, UsageError
from kemb.evaluation.evaluate import RunOptions, evaluate, load_task
from kemb.models.resolve import resolve
from kemb.publishing import repository
from kemb.publishing.markdown import is_own, own_data
from kemb.publishing.submission import MANIFEST, check
from kemb.publishing.submit import pack, take_out
from kemb.results.claims import shipped
from kemb.results.files import Claim, TaskResult, read_result, read_results
from kemb.results.rows import rows_of
from records import changed

PUBLIC = "KorSTS"
REVISION = "0123456789abcdef0123456789abcdef01234567"
PAIRS = [
    ("비가 온다", "비가 내린다", 4.5),
    ("눈이 온다", "꽃이 핀다", 0.5),
    ("배가 고프다", "허기가 진다", 4.0),
    ("해가 뜬다", "달이 진다", 2.0),
    ("물이 맑다", "산이 높다", 1.0),
    ("길이 멀다", "갈 길이 멀다", 5.0),
]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder: a toy model on data of one's own, and the same numbers as those of a public
    task.
    """
    root = tmp_path_factory.mktemp("measured")
    data = root / "my-sts"
    data.mkdir()
    lines = [
        json.dumps({"sentence1": a, "sentence2": b, "score": s}, ensure_ascii=False)
        for a, b, s in PAIRS
    ]
    (data / "test.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    options = RunOptions(
        root / "results", Store(root / "store"), command=f"kemb run {Path.home()}/my-sts -m toy"
    )
    (outcome,) = evaluate([load_task(data)], [resolve("toy")], options)
    assert outcome.result is not None
    as_public(outcome.result)
    return root / "results"


def as_public(result: TaskResult) -> None:
    record = json.loads(result.path.read_text(encoding="utf-8"))
    record |= {"task_name": PUBLIC, "dataset_revision": REVISION}
    record["kemb"]["command"] = f"kemb run {PUBLIC} -m toy --data /home/someone/data"
    result.path.with_name(f"{PUBLIC}.json").write_text(
        json.dumps(record, ensure_ascii=False), encoding="utf-8"
    )
    items = result.path.with_name(f"{result.task}.items.parquet")
    items.with_name(f"{PUBLIC}.items.parquet").write_bytes(items.read_bytes())


def kemb(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], catch_exceptions=True)


def packed(results: Path, out: Path) -> Path:
    (row,) = rows_of([result for result in read_results(results) if result.task == PUBLIC])
    return pack([row], out).path


def files_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rebuilt(path: Path, files: dict[str, bytes], *, rehash: bool = True) -> Path:
    """The submission with other files, and a manifest that fits them as far as hashes go."""
    if rehash:
        manifest = json.loads(files[MANIFEST])
        for name in manifest["files"]:
            content = files.get(name, b"")
            manifest["files"][name] = {
                "sha256": hashlib.sha256(content).hexdigest(),
                "size": len(content),
            }
        files = files | {MANIFEST: json.dumps(manifest).encode()}
    other = path.with_name("other.zip")
    with zipfile.ZipFile(other, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return other


def record_of(files: dict[str, bytes]) -> str:
    return next(name for name in files if name.endswith(f"{PUBLIC}.json"))


def edited(path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """The submission with a changed record and hashes that fit it."""
    files = files_of(path)
    record = json.loads(files[record_of(files)])
    change(record)
    return rebuilt(path, files | {record_of(files): json.dumps(record).encode()})


def test_a_submission_comes_back_as_it_was_measured(measured: Path, tmp_path: Path) -> None:
    path = packed(measured, tmp_path / "a.zip")
    checked = check(path)
    assert checked.is_good
    (verification,) = checked.verifications
    assert [found.status for found in verification.checks] == ["OK"]
    written = take_out(path, tmp_path / "board")
    (original,) = [result for result in read_results(measured) if result.task == PUBLIC]
    (result,) = read_results(tmp_path / "board")
    assert written == [result.path]
    assert result.path.relative_to(tmp_path / "board") == original.path.relative_to(measured)
    assert result.scores == original.scores
    assert changed(result.kemb, command="") == changed(original.kemb, command="")
    assert sorted(file.name for file in result.path.parent.iterdir()) == [
        f"{PUBLIC}.items.parquet",
        f"{PUBLIC}.json",
        "model_meta.json",
    ]
    assert take_out(path, tmp_path / "board") == []


def test_a_variant_stays_a_variant(measured: Path, tmp_path: Path) -> None:
    results = copied(measured, tmp_path)
    (path,) = results.rglob(f"{PUBLIC}.json")
    folder = path.parent / "experiments" / "max_tokens_8"
    folder.mkdir(parents=True)
    for file in [
        path,
        path.with_name("model_meta.json"),
        path.with_name(f"{PUBLIC}.items.parquet"),
    ]:
        (folder / file.name).write_bytes(file.read_bytes())
    moved = folder / path.name
    record = json.loads(moved.read_text())
    record["kemb"]["model"]["variant"] = "max_tokens_8"
    moved.write_text(json.dumps(record))
    done = kemb(
        "submit",
        folder,
        path.parent,
        "--results",
        results,
        "--tasks",
        PUBLIC,
        "-o",
        tmp_path / "a.zip",
    )
    assert done.exit_code == 0, done.exception
    written = take_out(tmp_path / "a.zip", tmp_path / "board")
    assert {path.relative_to(tmp_path / "board") for path in written} == {
        found.relative_to(results) for found in (path, moved)
    }
    assert {found.variant for found in read_results(tmp_path / "board")} == {"", "max_tokens_8"}


def test_equal_results_make_equal_bytes_with_a_manifest(measured: Path, tmp_path: Path) -> None:
    one, two = packed(measured, tmp_path / "a.zip"), packed(measured, tmp_path / "b.zip")
    assert one.read_bytes() == two.read_bytes()
    with zipfile.ZipFile(one) as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert archive.namelist()[1:] == sorted(archive.namelist()[1:])
    files = files_of(one)
    manifest = json.loads(files[MANIFEST])
    assert {name: entry["sha256"] for name, entry in manifest["files"].items()} == {
        name: hashlib.sha256(content).hexdigest()
        for name, content in files.items()
        if name != MANIFEST
    }
    (entry,) = manifest["results"]
    (original,) = [result for result in read_results(measured) if result.task == PUBLIC]
    assert (entry["task"], entry["model"], entry["main_score"]) == (
        PUBLIC,
        "toy",
        original.main_score,
    )


def test_home_folders_are_masked_and_prompts_are_not(measured: Path, tmp_path: Path) -> None:
    results = copied(measured, tmp_path)
    (path,) = results.rglob(f"{PUBLIC}.json")
    record = json.loads(path.read_text())
    record["kemb"]["prompts"]["text"]["prompt"] = "/home/of/prompts: "
    record["kemb"]["command"] = (
        r"kemb run /home/kim/a '/Users/kim b' C:\Users\kim\x /root/y /data/home/z"
    )
    path.write_text(json.dumps(record))
    (row,) = rows_of([read_result(path)])
    found = pack([row], tmp_path / "a.zip")
    assert found.commands == [r"kemb run ~/a '~ b' ~\x ~/y /data/home/z"]
    assert found.n_masked == 4
    inside = json.loads(files_of(found.path)[record_of(files_of(found.path))])
    assert inside["kemb"]["command"] == found.commands[0]
    assert inside["kemb"]["prompts"]["text"]["prompt"] == "/home/of/prompts: "


def copied(results: Path, tmp_path: Path) -> Path:
    target = tmp_path / "copy"
    for file in (file for file in results.rglob("*") if file.is_file()):
        other = target / file.relative_to(results)
        other.parent.mkdir(parents=True, exist_ok=True)
        other.write_bytes(file.read_bytes())
    return target


def test_what_looks_like_a_key_is_refused(measured: Path, tmp_path: Path) -> None:
    results = copied(measured, tmp_path)
    (path,) = results.rglob(f"{PUBLIC}.json")
    path.write_text(path.read_text().replace("/home/someone/data", "hf_" + "a" * 30))
    with pytest.raises(UsageError, match="secret key") as refusal:
        packed(results, tmp_path / "a.zip")
    assert "a" * 10 not in str(refusal.value)
    assert list(tmp_path.glob("*.zip")) == []


def test_own_data_stay_at_home_unless_asked_for(measured: Path, tmp_path: Path) -> None:
    results = read_results(measured)
    assert [result.task for result in own_data([*results, *shipped()])] == ["my-sts"]
    assert [
        is_own(*of)
        for of in [("KorSTS", REVISION), ("KorSTS", "sha256:12"), ("KoMiniSTS", "sha256:12")]
    ] == [
        False,
        True,
        False,
    ]
    foreign = [replace(result, kemb=None, claim=Claim("files in results")) for result in results]
    assert [result.task for result in own_data(foreign)] == ["my-sts"]
    out = tmp_path / "a.zip"
    refused = kemb("submit", "toy", "--results", measured, "-o", out)
    assert isinstance(refused.exception, UsageError)
    assert "my-sts" in str(refused.exception)
    assert not out.exists()
    assert kemb("submit", "toy", "--results", measured, "--tasks", PUBLIC, "-o", out).exit_code == 0
    assert [entry.task for entry in check(out).manifest.results] == [PUBLIC]
    assert (
        kemb("submit", "toy", "--results", measured, "--include-own-data", "-o", out).exit_code == 0
    )
    assert check(out).is_good
    with pytest.raises(UsageError, match="my-sts"):
        take_out(out, tmp_path / "board")
    assert not (tmp_path / "board").exists()
    assert len(take_out(out, tmp_path / "board", include_own_data=True)) == 2


def test_published_numbers_cannot_be_submitted(tmp_path: Path) -> None:
    row = rows_of(shipped()[:1])
    with pytest.raises(UsageError, match="not made by kemb"):
        pack(row, tmp_path / "a.zip")


def test_changed_items_and_forged_scores_are_not_packed(measured: Path, tmp_path: Path) -> None:
    results = copied(measured, tmp_path)
    (path,) = results.rglob(f"{PUBLIC}.json")
    record = json.loads(path.read_text())
    record["scores"]["test"][0] |= {"cosine_spearman": 0.99, "main_score": 0.99}
    path.write_text(json.dumps(record))
    with pytest.raises(ResultError, match="do not follow from its items"):
        packed(results, tmp_path / "a.zip")
    (items,) = results.rglob(f"{PUBLIC}.items.parquet")
    items.write_bytes(items.read_bytes() + b"x")
    with pytest.raises(ResultError, match=r"missing or were changed.*--rescore"):
        packed(results, tmp_path / "a.zip")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["copy"]


def forged(record: dict[str, Any]) -> None:
    record["scores"]["test"][0] |= {"cosine_spearman": 0.99, "main_score": 0.99}


def only_main(record: dict[str, Any]) -> None:
    record["scores"]["test"][0]["main_score"] = 0.99


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (only_main, "Its main score is 0.99; the manifest says"),
        (lambda record: record["kemb"].pop("prompts"), "prompts: Field required"),
        (lambda record: record["scores"]["test"].clear(), "at least 1 item"),
        (lambda record: record["scores"]["test"][0].update(main_score=float("nan")), "NaN"),
        (
            lambda record: record.update(task_name="KLUE-STS"),
            "another model, revision, variant or task",
        ),
        (lambda record: record.update(dataset_revision="sha256:00"), "the submitter's own"),
        (lambda record: record["kemb"]["task"].update(type="retrieval"), "KorSTS is a sts task"),
        (
            lambda record: record["kemb"]["task"].update(main_metric="dot_pearson"),
            "KorSTS is a sts task",
        ),
        (lambda record: record["kemb"].update(timestamp=int(time.time()) + 10**6), "in the future"),
        (
            lambda record: record["kemb"].update(date="9999-01-01T00:00:00"),
            "Its date is 9999-01-01",
        ),
        (lambda record: record["kemb"].update(date="soon"), "kemb.date"),
        (lambda record: record["kemb"].update(started=[]), "kemb.started"),
        (
            lambda record: record["kemb"].update(encoded={"n_encoded": "many"}),
            "kemb.encoded.n_encoded",
        ),
        (
            lambda record: record["kemb"].update(seconds={"encode": float("-1")}),
            "kemb.seconds.encode",
        ),
        (lambda record: record["kemb"].update(api={"usd": "free"}), "kemb.api.usd"),
        (
            lambda record: record["kemb"].update(lengths={"test/default": {"columns": {}}}),
            "korean: Field required",
        ),
        (
            lambda record: record["kemb"].update(loaded={"n_parameters": "many"}),
            "kemb.loaded.n_parameters",
        ),
        (
            lambda record: record["kemb"].update(index_bytes_per_document=-1),
            "kemb.index_bytes_per_document",
        ),
        (
            lambda record: record["kemb"]["prompts"].update(text={"prompt": "\ud800", "route": ""}),
            "surrogates",
        ),
        (lambda record: record["kemb"].update(items_sha256="0" * 64), "missing or were changed"),
    ],
)
def test_a_record_that_cannot_be_believed_is_a_problem(
    measured: Path, tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    path = edited(packed(measured, tmp_path / "a.zip"), change)
    checked = check(path)
    assert not checked.is_good
    assert message in checked.problems[0]
    assert "/tmp" not in checked.problems[0]
    with pytest.raises(ResultError, match="nothing was imported"):
        take_out(path, tmp_path / "board")
    assert not (tmp_path / "board").exists()


@pytest.mark.parametrize("change", [forged, only_main])
def test_forged_scores_differ_and_the_exit_code_says_so(
    measured: Path, tmp_path: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    path = packed(measured, tmp_path / "a.zip")
    assert kemb("verify", path).exit_code == 0
    bad = edited(path, change)
    assert "its main score" in check(bad).problems[0].lower()  # the manifest still says the old one
    files = files_of(bad)
    manifest = json.loads(files[MANIFEST])
    manifest["results"][0]["main_score"] = 0.99
    bad = rebuilt(path, files | {MANIFEST: json.dumps(manifest).encode()})
    done = kemb("verify", bad, "--json")
    assert done.exit_code == 1
    (verification,) = json.loads(done.stdout)
    assert verification["differs"]
    assert verification["path"].startswith("results/")
    for arguments in ([tmp_path / "none.zip"], [path, PUBLIC], [path, "--sample", 0.5]):
        assert isinstance(kemb("verify", *arguments).exception, UsageError)


def test_items_of_another_shape_are_a_problem(measured: Path, tmp_path: Path) -> None:
    path = packed(measured, tmp_path / "a.zip")
    for table in (pa.table({"a": [1]}), None):
        files = files_of(path)
        name = record_of(files).removesuffix(".json") + ".items.parquet"
        if table is None:
            files[name] = b"PAR1 is no parquet"
        else:
            pq.write_table(table, tmp_path / "t.parquet")
            files[name] = (tmp_path / "t.parquet").read_bytes()
        record = json.loads(files[record_of(files)])
        record["kemb"]["items_sha256"] = hashlib.sha256(files[name]).hexdigest()
        (problem,) = check(
            rebuilt(path, files | {record_of(files): json.dumps(record).encode()})
        ).problems
        assert "Its items" in problem


@pytest.mark.parametrize(
    "name",
    [
        "/etc/x.json",
        "../x.json",
        "results/../../x.json",
        "results/a/../x.json",
        "results/a/b/.x.json",
        "C:\\x.json",
        "results\\a\\b\\c.json",
        "results/a/b/c.sh",
        "x.json",
        "results/a/b/c.json\x00.zip",
        "results/a/b/c/d/e.json",
    ],
)
def test_names_that_lead_elsewhere_are_refused(measured: Path, tmp_path: Path, name: str) -> None:
    path = packed(measured, tmp_path / "a.zip")
    safe = "r" * len(name.encode())
    other = rebuilt(path, files_of(path) | {safe: b"{}"})
    other.write_bytes(
        other.read_bytes().replace(safe.encode(), name.encode())
    )  # Python would write a tame name
    with pytest.raises(ResultError, match="no submission that can be used"):
        check(other)


def test_links_compression_overlaps_and_repeated_names_are_refused(
    measured: Path, tmp_path: Path
) -> None:
    path = packed(measured, tmp_path / "a.zip")
    files = files_of(path)

    def refused(
        infos: list[tuple[zipfile.ZipInfo | str, bytes]], compression: int = zipfile.ZIP_STORED
    ) -> str:
        other = tmp_path / "bad.zip"
        with zipfile.ZipFile(other, "w", compression) as archive:
            for info, content in infos:
                archive.writestr(info, content)
        with pytest.raises(ResultError) as error:
            check(other)
        return str(error.value)

    link = zipfile.ZipInfo("results/a/b/c.json")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    assert "is a link" in refused([*files.items(), (link, b"/etc/passwd")])
    assert "compressed" in refused(
        [(MANIFEST, random.Random(0).randbytes(1000))], zipfile.ZIP_DEFLATED
    )
    first = record_of(files)
    assert "same name" in refused([*files.items(), (first.replace("KorSTS", "korsts"), b"{}")])
    assert "not in both" in refused([*files.items(), ("results/a/b/c.json", b"{}")])
    assert "has no manifest.json" in refused(
        [(name, data) for name, data in files.items() if name != MANIFEST]
    )
    (tmp_path / "text.zip").write_text("no zip")
    with pytest.raises(ResultError, match="cannot be read as a zip file"):
        check(tmp_path / "text.zip")


def test_a_bomb_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MANIFEST, b"0" * 50_000_000)
    with pytest.raises(ResultError, match="too large, or its files overlap"):
        check(path)


def test_a_changed_byte_is_noticed(measured: Path, tmp_path: Path) -> None:
    path = packed(measured, tmp_path / "a.zip")
    files = files_of(path)
    other = rebuilt(path, files | {record_of(files): files[record_of(files)] + b" "}, rehash=False)
    with pytest.raises(ResultError, match="is not the file that the manifest describes"):
        check(other)


def test_another_record_is_kept_unless_told(measured: Path, tmp_path: Path) -> None:
    board = tmp_path / "board"
    path = packed(measured, tmp_path / "a.zip")
    (written,) = take_out(path, board)
    mine = written.read_text().replace('"command": "', '"command": "nice ')
    written.write_text(mine)
    with pytest.raises(UsageError, match="Nothing was imported"):
        take_out(path, board)
    assert written.read_text() == mine
    assert take_out(path, board, overwrite=True) == [written]
    assert written.read_text() != mine


def test_submit_shows_what_is_inside(measured: Path, tmp_path: Path) -> None:
    done = kemb("submit", "toy", "--results", measured, "--tasks", PUBLIC, "-o", tmp_path / "a.zip")
    assert "kemb run KorSTS -m toy --data ~/data" in done.output
    assert "Home folders are written as ~ in 1 places" in done.output
    manifest = json.loads(
        kemb(
            "submit",
            "toy",
            "--results",
            measured,
            "--tasks",
            PUBLIC,
            "-o",
            tmp_path / "a.zip",
            "--json",
        ).output
    )
    assert manifest["format"] == "kemb submission"
    (folder,) = {path.parent for path in measured.rglob("KorSTS.json")}
    assert (
        kemb(
            "submit", folder, "--results", tmp_path, "--tasks", PUBLIC, "-o", tmp_path / "b.zip"
        ).exit_code
        == 0
    )
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    for arguments in (
        ["-o", tmp_path / "a.tar"],
        ["-o", tmp_path / "c.zip", "--tasks", "KLUE-STS"],
    ):
        refused = kemb("submit", "toy", "--results", measured, *arguments)
        assert isinstance(refused.exception, UsageError)


def test_import_submission_writes_and_names_the_files(measured: Path, tmp_path: Path) -> None:
    path = packed(measured, tmp_path / "a.zip")
    done = kemb("import", "submission", path, "--results", tmp_path / "board")
    assert done.exit_code == 0
    (written,) = (tmp_path / "board").rglob("KorSTS.json")
    assert str(written) in done.output


def test_init_writes_a_repository_and_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    done = kemb("init", tmp_path)
    assert done.exit_code == 0
    assert (tmp_path / "README.md").read_text() == "mine"
    found = {
        path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()
    }
    assert found == {
        ".gitignore",
        ".github/ISSUE_TEMPLATE/evaluate-model.yml",
        ".github/workflows/check.yml",
        ".github/workflows/site.yml",
        "README.md",
        "results/README.md",
        "submissions/README.md",
    }
    assert read_results(tmp_path / "results") == []
    written, kept = repository.write(tmp_path)
    assert (written, len(kept)) == ([], 7)


WORKFLOWS = [name for name in repository.files() if "/workflows/" in name]


def jobs(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(repository.files()[name])["jobs"]
    return found


@pytest.mark.parametrize("name", WORKFLOWS)
def test_workflows_may_do_little_and_pin_their_actions(name: str) -> None:
    workflow = yaml.safe_load(repository.files()[name])
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["group"]
    used = [
        step["uses"] for job in workflow["jobs"].values() for step in job["steps"] if "uses" in step
    ]
    assert used
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", action) for action in used)
    scripts = [
        step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step
    ]
    assert not [
        script for script in scripts if "${{" in script
    ]  # what others name reaches a script by its environment


def test_a_check_of_strangers_has_no_rights() -> None:
    text = repository.files()[".github/workflows/check.yml"]
    assert "pull_request_target" not in text
    assert not any("permissions" in job for job in jobs(".github/workflows/check.yml").values())
    assert "secrets" not in "".join(re.findall(r"\$\{\{.*?\}\}", text))
    granted = {
        name: job.get("permissions") for name, job in jobs(".github/workflows/site.yml").items()
    }
    assert granted == {
        "build": {"contents": "write"},
        "publish": {"pages": "write", "id-token": "write"},
    }


def commands() -> list[list[str]]:
    """Every `kemb ...` in the repository's files, up to the next shell operator."""
    lines = [
        line
        for text in repository.files().values()
        for line in re.findall(r"\bkemb ([a-z].*)", text)
    ]
    found = [re.split(r"`|\s(?:&&|\|\||[|;])\s|$", line, maxsplit=1)[0] for line in lines]
    return [shlex.split(line.removesuffix(",")) for line in found]


def test_every_kemb_command_in_the_files_exists() -> None:
    checked = 0
    for words in commands():
        command: click.Command = cli
        while isinstance(command, click.Group) and words and words[0] in command.commands:
            command = command.commands[words.pop(0)]
        if words and words[0] == "site" and "site" not in cli.commands:
            continue
        assert not isinstance(command, click.Group), f"kemb {' '.join(words)}"
        options = {option for parameter in command.params for option in parameter.opts}
        used = {word for word in words if word.startswith("-")}
        assert used <= options, f"{command.name} has no {used - options}"
        checked += 1
    assert checked >= 6


def test_the_issue_form_asks_for_what_identifies_a_model() -> None:
    form = yaml.safe_load(repository.files()[".github/ISSUE_TEMPLATE/evaluate-model.yml"])
    required = {
        field["id"] for field in form["body"] if field.get("validations", {}).get("required")
    }
    assert required == {"model", "revision", "prompts", "licence", "why"}
    assert all(
        " / " in field["attributes"]["label"]
        for field in form["body"]
        if "label" in field["attributes"]
    )


def with_items(path: Path, table: pa.Table, **writing: bool | str) -> Path:
    """The submission with other items, and a record that says so."""
    files = files_of(path)
    name = record_of(files).removesuffix(".json") + ".items.parquet"
    written = path.with_name("items.parquet")
    pq.write_table(table, written, **writing)
    files[name] = written.read_bytes()
    record = json.loads(files[record_of(files)])
    record["kemb"]["items_sha256"] = hashlib.sha256(files[name]).hexdigest()
    return rebuilt(path, files | {record_of(files): json.dumps(record).encode()})


def items_of(results: Path) -> pa.Table:
    (path,) = results.rglob(f"{PUBLIC}.items.parquet")
    return pq.read_table(path)


def test_items_that_would_unpack_to_far_more_are_not_read(
    measured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = items_of(measured).slice(0, 1)
    columns = [pa.concat_arrays([row[name].combine_chunks()] * 200) for name in row.schema.names]
    texts = pa.array([f"{number:07}".ljust(500_000, "x") for number in range(200)])
    columns[row.schema.names.index("item_id")] = texts.cast(row.schema.field("item_id").type)
    table = pa.table(columns, schema=row.schema)
    path = packed(measured, tmp_path / "a.zip")
    bomb = with_items(path, table, compression="zstd", use_dictionary=False)
    assert bomb.stat().st_size < 200_000
    monkeypatch.setattr(pq.ParquetFile, "read", None)  # no page may be unpacked
    (problem,) = check(bomb).problems
    assert re.search(r"items cannot be read .*bytes would unpack to 10\d{7}", problem)


def test_what_is_listed_twice_is_refused(measured: Path, tmp_path: Path) -> None:
    path = packed(measured, tmp_path / "a.zip")
    items = items_of(measured)
    other = with_items(path, pa.concat_tables([items, items.slice(2, 3)]), store_schema=False)
    (problem,) = check(other).problems
    assert "list 3 items twice" in problem
    files = files_of(path)
    manifest = json.loads(files[MANIFEST])
    manifest["results"] *= 2
    twice = rebuilt(path, files | {MANIFEST: json.dumps(manifest).encode()})
    with pytest.raises(ResultError, match="lists a result twice"):
        check(twice)


def test_a_description_of_a_model_has_the_types_of_one(measured: Path, tmp_path: Path) -> None:
    path = packed(measured, tmp_path / "a.zip")
    files = files_of(path)
    (name,) = [name for name in files if name.endswith("model_meta.json")]
    meta = json.loads(files[name]) | {"n_parameters": "many"}
    (problem,) = check(rebuilt(path, files | {name: json.dumps(meta).encode()})).problems
    assert "model_meta.json does not describe a model (n_parameters" in problem
