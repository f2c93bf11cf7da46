"""What the nodes of a test's cluster do beside their work: every group that is about to be written
is a line of a log, then waits as long as the gate is shut, and a slow node is slow.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

IS_WORKER = any(arg.endswith("default_worker.py") for arg in sys.orig_argv)

if IS_WORKER and "KEMB_TEST_LOG" in os.environ:
    from kemb.encoding.job import Job

    write = Job.write

    def logged(self: Job, number: int, finished: Any) -> None:  # noqa: ANN401  of any kind
        """Write a group, and say so before."""
        time.sleep(float(os.environ["KEMB_TEST_SLOW"]))
        with open(os.environ["KEMB_TEST_LOG"], "a", encoding="utf-8") as log:
            log.write(f"{number} {os.getpid()} {os.environ['KEMB_TEST_NODE']}\n")
        deadline = time.monotonic() + 60
        while Path(os.environ["KEMB_TEST_GATE"]).exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        write(self, number, finished)

    Job.write = logged  # type: ignore[method-assign]
