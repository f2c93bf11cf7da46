"""`kemb review`: a person looks at drafted questions, on a page of this machine."""

from __future__ import annotations

import contextlib
import os
import sys
import webbrowser
from collections.abc import Callable, Iterator
from pathlib import Path

from kemb.drafting.review_log import open_log
from kemb.drafting.review_merge import MergeReport, merge
from kemb.drafting.review_questions import read_questions
from kemb.drafting.review_server import ReviewServer
from kemb.drafting.review_session import Session
from kemb.messages import Note, note
from kemb.tasks.own.decisions import read_decisions
from kemb.tasks.own.findings import Findings


@contextlib.contextmanager
def reviewing(
    root: Path, reviewer: str, port: int = 0, only_conflicts: bool = False
) -> Iterator[tuple[ReviewServer, list[Note]]]:
    """A server for one reviewer of a folder, which is his until the block ends; it does not serve
    yet. With it what is to be said of lines that were read past.

    :param root: the folder of the task.
    :param reviewer: names his file.
    :param port: 0 for any that is free.
    :param only_conflicts: only what reviewers disagree on.
    :raises UsageError: a name that cannot be, or that somebody has; a port that is taken.
    :raises DataError: a folder with errors.
    """
    questions = read_questions(root)
    with open_log(root, reviewer) as log:
        findings = Findings()
        decisions = read_decisions(root, findings)
        session = Session(questions, log.path.stem, log, decisions, only_conflicts)
        with ReviewServer(session, port) as server:
            yield server, [note("review.torn", finding=one) for one in findings.kept]


def serve(server: ReviewServer, opens: bool, say: Callable[[Note], None]) -> None:
    """Serve until somebody stops it, and say where and how.

    :param opens: also open the page, where the machine has a screen.
    :param say: shows a sentence.
    """
    session = server.session
    say(
        note(
            "review.start",
            folder=str(session.questions.root),
            n=len(session.order),
            n_decided=sum(query in session.decided for query in session.order),
            reviewer=session.reviewer,
        )
    )
    say(note("review.address", address=server.address))
    if opens and _has_screen():
        webbrowser.open(server.address)
    with contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()
    say(
        note(
            "review.end",
            n=len(session.order),
            n_decided=sum(query in session.decided for query in session.order),
            n_judged=len(session.judgments),
            path=str(session.log.path),
        )
    )


def merged(root: Path) -> MergeReport:
    """What all reviewers of a folder decided, together.

    :raises DataError: a folder with errors.
    """
    return merge(root, list(read_questions(root).questions))


def _has_screen() -> bool:
    """Whether a browser would open a window; one of a terminal would take it."""
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
