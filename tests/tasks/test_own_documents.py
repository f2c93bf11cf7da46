"""Folders of documents: their texts, and a finding for everything that is not read."""

from __future__ import annotations

import builtins
import importlib.util
import os
import zlib
from pathlib import Path
from types import ModuleType

import pytest
from document_files import archive, docx, encrypted_pdf, hwpx, pdf, pptx

from kemb.errors import MissingExtra, UsageError
from kemb.messages import say
from kemb.tasks.own import hangul, office
from kemb.tasks.own import pdf as pdf_module
from kemb.tasks.own.documents import Document, read_documents
from kemb.tasks.own.pdf import ranges
from kemb.tasks.own.readers import Findings

HWP = Path(__file__).with_name("report.hwp").read_bytes()
BODY = "이 규정은 직원의 휴가를 정하며 모든 부서에 적용한다."


def read(folder: Path, **files: str | bytes) -> tuple[list[Document], list[str]]:
    """The documents of a folder of these files (`a__md` is a.md), and the findings with levels."""
    for name, content in files.items():
        path = folder / name.replace("__", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    findings = Findings()
    documents = read_documents(folder, findings)
    return documents, [f"{finding.level}: {finding}" for finding in findings.kept]


def test_texts_are_read_as_they_are_with_titles_from_their_headings(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "c.txt").write_bytes(b"\xef\xbb\xbfline\r\nnext\r")
    documents, findings = read(
        tmp_path,
        a__md="## 둘째\n\n# 첫째 #\n\n본문",
        b__md="---\ntitle: '머리'\n---\n# 제목\n",
    )
    assert documents == [
        Document("a.md", "첫째", "## 둘째\n\n# 첫째 #\n\n본문"),
        Document("b.md", "머리", "---\ntitle: '머리'\n---\n# 제목\n"),
        Document("sub/c.txt", "c", "line\nnext\n"),
    ]
    assert findings == []


def test_one_file_is_a_folder_of_one(tmp_path: Path) -> None:
    read(tmp_path, a__md="하나", b__md="둘")
    assert [document.id for document in read_documents(tmp_path / "b.md", Findings())] == ["b.md"]


def test_one_file_of_another_kind_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.xls").write_bytes(b"x")
    findings = Findings()
    assert read_documents(tmp_path / "a.xls", findings) == []
    assert findings.n_errors == 1


def test_a_page_becomes_markdown_without_scripts_menus_and_addresses(tmp_path: Path) -> None:
    page = """<html><head><title>사이트 이름</title><style>p {}</style></head><body>
    <nav>메뉴</nav><h2>휴가 <em>규정</em></h2><p>연차는 <a href="/x">15일</a>이다. a_b*c</p>
    <script>let x</script><ul><li>병가<li>경조</ul>
    <table><tr><th>근속</th></tr><tr><td>1년</td></tr></table></body></html>"""
    documents, findings = read(tmp_path, a__html=page)
    assert documents == [
        Document(
            "a.html",
            "사이트 이름",
            "# 사이트 이름\n\n## 휴가 *규정*\n\n연차는 15일이다. a_b*c\n\n- 병가\n- 경조\n\n"
            "| 근속 |\n| --- |\n| 1년 |",
        )
    ]
    assert findings == []


def test_a_page_is_read_in_the_encoding_that_it_names(tmp_path: Path) -> None:
    page = '<meta charset="euc-kr"><h1>똠방각하</h1>'  # no syllable of EUC-KR, but of cp949
    documents, _ = read(tmp_path, a__htm=page.encode("cp949"))
    assert documents[0].text == "# 똠방각하"


def test_a_pdf_with_its_headings_and_the_pages_without_text(tmp_path: Path) -> None:
    pages = [
        [(24, "휴가"), (24, "규정"), (10, BODY), (10, "# 아님")],
        [],
        [],
        [(16, "연차"), (10, BODY), (10, "------")],
        [],
    ]
    documents, findings = read(tmp_path, a__pdf=pdf(pages))
    assert documents == [
        Document(
            "a.pdf",
            "휴가",
            f"# 휴가\n\n# 규정\n\n{BODY}\n\n\\# 아님\n\n## 연차\n\n{BODY}",
        )
    ]
    assert findings == [
        "warning: a.pdf: no text on page 2-3, 5 of 5: blank or scanned; run OCR over it, for "
        "example: ocrmypdf -l kor+eng --skip-text a.pdf new.pdf",
        "warning: a.pdf: 3 short lines in larger type were taken for headings",
    ]


def test_a_scan_is_no_document_and_names_ocr(tmp_path: Path) -> None:
    documents, findings = read(tmp_path, a__pdf=pdf([[], []]), b__md="글")
    assert [document.id for document in documents] == ["b.md"]
    assert len(findings) == 1
    assert findings[0].startswith("error: a.pdf: no text on any of its 2 pages: a scan, or")
    assert "ocrmypdf -l kor+eng --force-ocr a.pdf" in findings[0]


def test_letters_that_a_font_does_not_name_are_no_text(tmp_path: Path) -> None:
    font = (
        "<< /Type /Font /Subtype /Type0 /BaseFont /X /Encoding /Identity-H /DescendantFonts [<< "
        "/Type /Font /Subtype /CIDFontType2 /BaseFont /X /CIDSystemInfo << /Registry (Adobe) "
        "/Ordering (Identity) /Supplement 0 >> >>] >>"
    )
    documents, findings = read(tmp_path, a__pdf=pdf([[(10, BODY)]], font))
    assert documents == []
    assert "a scan, or letters that cannot be told apart" in findings[0]


def test_encrypted_and_broken_files_say_what_to_do(tmp_path: Path) -> None:
    whole = pdf([[(10, BODY)]])
    documents, findings = read(
        tmp_path,
        a__pdf=encrypted_pdf(),
        b__pdf=b"%PDF-1.4\nnothing",
        c__docx=b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600),
        d__docx=b"PK\x03\x04 no archive",
        e__docx=archive({"a.txt": "no Word"}),
        f__hwp=HWP[:3000],
        g__hwpx=b"PK\x03\x04 no archive",
        h__pptx=docx([("", "no PowerPoint")]),
        i__pdf=whole[: len(whole) // 2],
        j__md="하나는 읽힌다.",
    )
    assert [document.id for document in documents] == ["j.md"]
    assert len({finding.split(":")[1] for finding in findings}) == len(findings)
    by_file = {finding.split(": ")[1]: finding for finding in findings}
    assert all(finding.startswith("error: ") for finding in findings)
    assert "needs a password" in by_file["a.pdf"]
    assert "qpdf --decrypt" in by_file["a.pdf"]
    assert "encrypted, or of an old format" in by_file["c.docx"]
    assert "\n" not in "".join(findings)


def test_every_broken_file_is_counted(tmp_path: Path) -> None:
    findings = Findings()
    for i in range(9):
        (tmp_path / f"{i}.docx").write_bytes(b"PK\x03\x04 no archive")
    assert read_documents(tmp_path, findings) == []
    assert findings.counts["error", "broken file"] == 9
    assert findings.counts["error", "no document"] == 1


def test_a_word_file_with_its_headings(tmp_path: Path) -> None:
    content = docx([("heading 1", "휴가 규정"), ("", BODY), ("heading 2", "연차"), ("", "a_b*c")])
    documents, findings = read(tmp_path, a__docx=content)
    text = f"# 휴가 규정\n\n{BODY}\n\n## 연차\n\na_b*c"
    assert documents == [Document("a.docx", "휴가 규정", text)]
    assert findings == []


def test_a_presentation_with_slides_without_text(tmp_path: Path) -> None:
    content = pptx([("휴가", "연차는 15일이다."), ("", ""), ("병가", "따로 센다.")])
    documents, findings = read(tmp_path, a__pptx=content)
    text = "# 휴가\n\n연차는 15일이다.\n\n# 병가\n\n따로 센다."
    assert [(d.title, d.text.replace("\n\n", "\n")) for d in documents] == [
        ("휴가", text.replace("\n\n", "\n"))
    ]
    assert findings == [
        "warning: a.pptx: no text on slide 2 of 3; text in images needs OCR",
    ]


def test_hangul_files(tmp_path: Path) -> None:
    documents, findings = read(
        tmp_path, a__hwp=HWP, b__hwpx=hwpx(["제1장 총칙", f"{BODY} a_b*c", "# 끝."])
    )
    report, rules = documents
    assert "예산은 3억 원이며, 두 번에 나누어 집행한다." in report.text
    assert "| 인건비 | 2억 |" in report.text
    assert rules == Document("b.hwpx", "제1장 총칙", f"## 제1장 총칙\n\n{BODY} a_b*c\n\n\\# 끝.")
    assert findings == []


def test_a_hangul_file_that_takes_too_much_is_left_and_the_others_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hangul, "_MOST_MEMORY", 8 << 20)
    documents, findings = read(tmp_path, a__hwp=HWP, b__md="글")
    assert [document.id for document in documents] == ["b.md"]
    assert findings[0].startswith("error: a.hwp: needs more than 8 MiB to be read, or is broken")
    monkeypatch.setattr(hangul, "_MOST_SECONDS", 0.001)
    _, findings = read(tmp_path)
    assert findings[0].startswith("error: a.hwp: was not read within 0.001 seconds")


def test_files_that_unpack_to_too_much_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pdf_module, "_MOST_UNPACKED", 1 << 20)
    monkeypatch.setattr(office, "_MOST_XML", 1 << 20)
    stream = zlib.compress(bytes(2 << 20))
    xml = b"<a>" + bytes(2 << 20)
    documents, findings = read(
        tmp_path,
        a__pdf=b"%PDF-1.4\n1 0 obj\n<< /Filter /FlateDecode >>\nstream\n" + stream + b"endstream",
        b__docx=docx([("", "x")], **{"word/big.xml": xml}),
        c__hwpx=archive({"Contents/section0.xml": xml}),
    )
    assert documents == []
    assert [finding.split(" and ")[0] for finding in findings[:3]] == [
        "error: a.pdf: unpacks to more than 1 MiB",
        "error: b.docx: unpacks to more than 20,000 files, 1024 MiB or 1 MiB of XML,",
        "error: c.hwpx: unpacks to more than 20,000 files, 1024 MiB or 1 MiB of XML,",
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_xml_that_declares_entities_is_not_parsed(tmp_path: Path, encoding: str) -> None:
    xml = f'<?xml version="1.0" encoding="{encoding}"?><!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'
    documents, findings = read(
        tmp_path, a__docx=docx([("", "x")], **{"word/document.xml": xml.encode(encoding)})
    )
    assert documents == []
    assert "word/document.xml declares a document type" in findings[0]


def test_what_is_no_document_is_named_and_not_read(tmp_path: Path) -> None:
    (tmp_path / "linked").symlink_to(tmp_path)
    documents, findings = read(
        tmp_path,
        a__md="같은 글이다.\n",
        b__txt="같은  글이다.",
        c__md=" \n",
        d__doc="old",
        e__xyz="what",
        f__csv="id,text\n",
        g__html="<p> </p>",
        __hidden__md="unseen",
    )
    assert [document.id for document in documents] == ["a.md"]
    assert sorted(findings) == [
        "error: c.md: the file is empty",
        "error: g.html: the page holds no text; where a script draws it, save the page from a "
        "browser",
        "warning: b.txt: has the text of a.md and was left out: of two copies only one could be "
        "right",
        "warning: d.doc: is no document that is read: save it as .docx",
        "warning: e.xyz: is no document that is read: expected .txt, .md, .markdown, .html, .htm, "
        ".pdf, .docx, .pptx, .hwp, .hwpx",
        "warning: f.csv: is no document that is read: tables of texts are read by kemb check",
        "warning: linked: is a link to a folder and was not followed",
    ]


def test_nothing_at_the_path(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no folder .*nowhere; expected .*\.hwpx"):
        read_documents(tmp_path / "nowhere", Findings())


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    documents, findings = read(tmp_path)
    assert documents == []
    assert findings[0].startswith(f"error: {tmp_path.name}: no document could be read")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.md")
    _, findings = read(tmp_path)
    assert findings[0].startswith("error: a.md: cannot be read")


def test_a_name_that_is_no_utf_8_can_be_written(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.md")).write_text("글")
    [document] = read(tmp_path)[0]
    assert (document.id, document.title) == (r"\udcff.md", r"\udcff")


@pytest.mark.parametrize("name", ["a.html", "a.pdf", "a.docx", "a.pptx", "a.hwp"])
def test_a_format_without_its_packages_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    original = builtins.__import__

    def without(module: str, *args: object, **options: object) -> ModuleType:
        if module.partition(".")[0] in ("bs4", "pdfminer", "markitdown", "unhwp"):
            raise ImportError(module)
        return original(module, *args, **options)  # type: ignore[arg-type]

    (tmp_path / name).write_bytes(b"content")
    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: None)
    with pytest.raises(MissingExtra, match=rf'Reading {name} .*"kemb\[docs\]"'):
        read_documents(tmp_path, Findings())


def test_ranges() -> None:
    assert ranges([1, 2, 3, 5, 8, 9]) == "1-3, 5, 8-9"


def test_many_pictures_do_not_hide_an_old_document(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {f"p{number}.jpg": b"x" for number in range(9)}
    for name, content in (files | {"z.doc": b"x", "a.md": "# 제목\n\n본문"}).items():
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    findings = Findings()
    assert [document.id for document in read_documents(tmp_path, findings)] == ["a.md"]
    lines = [say(line, "en") for line in findings.lines()]
    assert any(line.startswith("z.doc: ") for line in lines)
    assert lines[-1] == "4 more: other file (.jpg)"
    assert len(lines) == 7
