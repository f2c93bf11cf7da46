"""Memory and time of `kemb run` on a corpus of any size: anonymous memory by phase, seconds, and
what a further million documents costs.

    python benchmarks/scale_memory.py --documents 100000 1000000
    python benchmarks/scale_memory.py --documents 10000000 --layout parquet --limit-gb 6

Each size is a process of its own, on a synthetic corpus of Korean-like texts of about 100 tokens
(250 characters) in BEIR's layout, with the model `toy`. A thread looks twenty times a second at
`RssAnon` in /proc/self/status (memory that cannot be dropped; mapped files are the page cache's)
and at what the main thread is doing.

Linux only: --limit-gb needs root and cgroups.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import FrameType

import numpy as np

PHASES = {
    "read_folder": "read",
    "understand": "hash of the files",
    "check_content": "check",
    "build": "build the task",
    "make_part": "hash of the content",
    "columns_of": "keys",
    "encode_missing": "encode",
    "shared_vectors": "look for shared vectors",
    "find_duplicates": "look for equal vectors",
    "top_k": "search",
    "circumstances": "record",
}
"""Function of kemb -> what it is called here; of those on the stack the innermost counts."""
N_QUERIES = 500
SYLLABLES = np.array([chr(code) for code in range(0xAC00, 0xAC00 + 11172, 7)])


def write_corpus(folder: Path, n: int, layout: str) -> None:
    """A corpus of n documents, 500 questions that repeat words of a document, one judgment each."""
    rng = np.random.default_rng(5)
    words = ["".join(rng.choice(SYLLABLES, size)) for size in rng.integers(1, 5, 50_000)]
    (folder / "qrels").mkdir(parents=True)
    step = max(1, n // N_QUERIES)
    with (folder / "queries.jsonl").open("w") as queries, _writer(folder, layout) as corpus:
        judgments = ["query-id\tcorpus-id\tscore"]
        for start in range(0, n, 10_000):
            picks = rng.zipf(1.3, (min(10_000, n - start), 70)) % len(words)
            sizes = rng.integers(50, 71, len(picks))
            rows = []
            for number, (row, size) in enumerate(zip(picks, sizes, strict=True), start):
                text = " ".join([words[word] for word in row[:size]])
                rows.append({"_id": f"doc-{number}", "title": words[row[0]], "text": text})
                if number % step == 0:
                    question = {"_id": f"q{number}", "text": " ".join(text.split()[:8])}
                    queries.write(json.dumps(question, ensure_ascii=False) + "\n")
                    judgments.append(f"q{number}\tdoc-{number}\t1")
            corpus.add(rows)
    (folder / "qrels" / "test.tsv").write_text("\n".join(judgments) + "\n")


class _writer:
    """A corpus as JSON Lines or Parquet, some rows at a time."""

    def __init__(self, folder: Path, layout: str) -> None:
        self.path, self.parquet = folder / f"corpus.{layout}", None
        self.lines = self.path.open("w") if layout == "jsonl" else None

    def __enter__(self) -> _writer:
        return self

    def add(self, rows: list[dict[str, str]]) -> None:
        """Some more documents."""
        if self.lines is not None:
            self.lines.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            return
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.Table.from_pylist(rows)
        self.parquet = self.parquet or pq.ParquetWriter(self.path, table.schema)
        self.parquet.write_table(table)

    def __exit__(self, *_: object) -> None:
        for file in (self.lines, self.parquet):
            if file is not None:
                file.close()


def memory(field: str) -> float:
    """A field of /proc/self/status in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    return 0.0


class Watch(threading.Thread):
    """Peak of anonymous memory and seconds of every phase of the main thread."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peaks: dict[str, float] = {}
        self.seconds: dict[str, float] = {}
        self.main = threading.main_thread().ident

    def run(self) -> None:
        before = time.perf_counter()
        while True:
            time.sleep(0.05)
            now = time.perf_counter()
            phase = self._phase(sys._current_frames().get(self.main or 0))
            self.peaks[phase] = max(self.peaks.get(phase, 0.0), memory("RssAnon"))
            self.seconds[phase] = self.seconds.get(phase, 0.0) + now - before
            before = now

    @staticmethod
    def _phase(frame: FrameType | None) -> str:
        while frame is not None:
            if frame.f_code.co_name in PHASES and "kemb" in frame.f_code.co_filename:
                return PHASES[frame.f_code.co_name]
            frame = frame.f_back
        return "other"


def child(folder: Path) -> None:
    """`kemb run` on a folder, watched; prints one line of JSON at the end."""
    from kemb.cli import main

    watch, started = Watch(), time.perf_counter()
    watch.start()
    sys.argv = ["kemb", "run", str(folder / "corpus"), "-m", "toy"]
    sys.argv += ["--store", str(folder / "store"), "--results", str(folder / "results")]
    main()
    peaks = {phase: (watch.peaks[phase], watch.seconds[phase]) for phase in watch.peaks}
    print(json.dumps({"seconds": time.perf_counter() - started, "phases": peaks}))


def measure(n: int, layout: str, work_dir: Path, limit_gb: float | None) -> dict[str, float]:
    """Write a corpus, run the child on it, print a table of its phases."""
    folder = Path(tempfile.mkdtemp(prefix=f"scale-{n}-", dir=work_dir))
    try:
        write_corpus(folder / "corpus", n, layout)
        environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}
        command = [sys.executable, __file__, "--child", str(folder)]
        group = _cgroup(limit_gb) if limit_gb else None
        if group is not None:
            command = ["sh", "-c", f'echo $$ > {group}/cgroup.procs; exec "$@"', "sh", *command]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            raise SystemExit(f"{n:,} documents: the run ended with {done.returncode}")
        report = json.loads(done.stdout.strip().splitlines()[-1])
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    peak = max(value for value, _ in report["phases"].values())
    print(f"\n{n:,} documents, {layout}: {report['seconds']:.1f} s, peak {peak:,.0f} MB")
    print("| phase | peak RssAnon, MB | seconds |\n|---|---:|---:|")
    for phase, (value, seconds) in report["phases"].items():
        print(f"| {phase} | {value:,.0f} | {seconds:.1f} |")
    sys.stdout.flush()
    return {"peak": peak, "seconds": report["seconds"]}


def _cgroup(limit_gb: float) -> Path:
    """A memory cgroup (version 1) with a limit; the page cache counts, and is dropped in it."""
    group = Path("/sys/fs/cgroup/memory/kemb-scale")
    group.mkdir(exist_ok=True)
    (group / "memory.limit_in_bytes").write_text(str(int(limit_gb * 2**30)))
    return group


def main() -> None:
    """Every size, and the cost of a further million between neighbours."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--layout", choices=("jsonl", "parquet"), default="jsonl")
    parser.add_argument("--work-dir", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--limit-gb", type=float)
    parser.add_argument("--child", type=Path)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child)
        return
    before: tuple[int, dict[str, float]] | None = None
    for n in arguments.documents:
        values = measure(n, arguments.layout, arguments.work_dir, arguments.limit_gb)
        if before is not None:
            millions = (n - before[0]) / 1e6
            more = (values["peak"] - before[1]["peak"]) / millions
            ratio = values["seconds"] / n * before[0] / before[1]["seconds"]
            print(f"\na further million: {more:,.0f} MB; seconds per document: {ratio:.2f} times")
        before = (n, values)


if __name__ == "__main__":
    main()
