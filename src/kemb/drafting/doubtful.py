"""What of documents and passages a user should look at before a draft is trusted: one document in
two formats, passages that are longer than most models read.
"""

from __future__ import annotations

from collections.abc import Sequence

from kemb.drafting.chunks import Chunk
from kemb.drafting.filters import JACCARD, SHINGLE
from kemb.messages import note
from kemb.tasks.own.documents import Document
from kemb.tasks.own.findings import Findings
from kemb.tasks.own.values import MOST_READ
from kemb.training.shingles import estimated_pairs, normal_form, sketch, windows

_SKETCH = 128
"""Hashes by which two documents are compared: their similarity is known to some 3 points."""


def note_alike(documents: Sequence[Document], findings: Findings) -> None:
    """Warn of documents that are nearly the same as an earlier one; none is left out."""
    forms = [normal_form(document.text) for document in documents]
    sketches = sketch(windows(forms, SHINGLE), _SKETCH)
    near = estimated_pairs(sketches, sketches, _SKETCH, JACCARD)
    earliest: dict[int, int] = {}
    for one, other in zip(near.a.tolist(), near.b.tolist(), strict=True):
        if one < other:
            earliest.setdefault(other, one)
    for other, one in sorted(earliest.items()):
        findings.warn(
            "nearly the same document",
            documents[other].id,
            note("finding.nearly_the_same_document", file=documents[one].id),
        )


def note_long(chunks: Sequence[Chunk], chunking: str, findings: Findings) -> None:
    """Warn of passages of which most models read only the beginning."""
    n_long = sum(len(chunk.text) > MOST_READ for chunk in chunks)
    if not n_long:
        return
    longest = max(chunks, key=lambda chunk: len(chunk.text))
    findings.warn(
        "long passages",
        longest.source,
        note(
            "finding.long_passages",
            n_long=n_long,
            n=len(chunks),
            chunking=chunking,
            most_read=MOST_READ,
            longest=len(longest.text),
        ),
    )
