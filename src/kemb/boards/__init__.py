"""Results + benchmark -> Board: a ranked table that says how sure its ranks are.

Rows that have every comparable cell are ranked, each with a rank interval; the others stand below
the line, compared on the cells that they have. Nothing is imputed, and measured and claimed numbers
never share a row.
"""

from kemb.boards.build import build_board
from kemb.boards.types import Board, BoardOptions, Common, Intervals, Row, Standing

__all__ = ["Board", "BoardOptions", "Common", "Intervals", "Row", "Standing", "build_board"]
