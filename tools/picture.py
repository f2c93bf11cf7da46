"""Write docs/demo.svg, the picture in the README, from the results that `kemb demo -o FOLDER` left.

python tools/picture.py kemb-demo
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from rich.console import Console

from kemb.boards import build_board
from kemb.publishing import terminal
from kemb.results.files import read_results


def main(folder: Path, out: Path) -> None:
    """Draw the board of a demo run as the terminal shows it."""
    console = Console(record=True, width=96, file=io.StringIO())
    console.print("$ make demo", style="bold")
    terminal.print_board(build_board(read_results(folder / "results")), console=console)
    out.write_text(console.export_svg(title="kemb demo"), encoding="utf-8")
    print(f"wrote {out}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(__file__).parent.parent / "docs" / "demo.svg")
