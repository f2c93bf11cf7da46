"""TREC's tagged files: topics, and documents with <DOCNO>."""

from __future__ import annotations

import re

from kemb.messages import note
from kemb.tasks.own.findings import Findings, Table
from kemb.tasks.own.records import table_of_records

_RECORD = re.compile(r"<(?P<tag>top|doc)>(?P<body>.*?)</(?P=tag)>", re.IGNORECASE | re.DOTALL)
_FIELD = re.compile(r"<(?P<name>\w+)>(?P<text>[^<]*)", re.DOTALL)
_LABEL = re.compile(r"^\s*(?:Number|Topic|Description|Narrative)\s*:\s*", re.IGNORECASE)
_ID_TAGS = ("num", "docno", "id")


def is_trec(text: str) -> bool:
    """Whether a file begins with a tagged topic or document."""
    return re.match(r"\s*(?:<\?xml[^>]*>\s*)?(?:<\w+>\s*)?<(?:top|doc)>", text, re.I) is not None


def read_trec(text: str, file: str, findings: Findings) -> Table:
    """Topics as id and title (the query that TREC's runs use), documents as id, title and text.

    :param text: the whole file.
    :param file: its name in messages.
    :param findings: takes what is wrong.
    """
    records: list[dict[str, object]] = []
    rows: list[int] = []
    row, position = 1, 0
    for match in _RECORD.finditer(text):
        row += text.count("\n", position, match.start())
        position = match.start()
        fields = {
            field["name"].lower(): " ".join(_LABEL.sub("", field["text"]).split())
            for field in _FIELD.finditer(match["body"])
        }
        record_id = next((fields[tag] for tag in _ID_TAGS if fields.get(tag)), None)
        if match["tag"].lower() == "top":
            records.append({"id": record_id, "query": fields.get("title")})
        else:
            records.append({"id": record_id, "title": fields.get("title"), "text": _body(fields)})
        rows.append(row)
    n_opened = len(re.findall(r"<(?:top|doc)>", text, re.IGNORECASE))
    if n_opened > len(records):
        message = note("finding.broken_trec", n=n_opened - len(records), n_opened=n_opened)
        findings.error("broken TREC", file, message)
    return table_of_records(file, records, rows)


def _body(fields: dict[str, str]) -> str:
    return fields.get("text") or fields.get("body") or ""
