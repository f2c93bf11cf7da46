// Rows of a board against the first of them, on the tasks that all have. Pure; the page is in compare_page.ts.
import type { BoardData, ItemData, ReplicateData, RowData } from "./schema";
import {
  cellReplicates,
  decidedPairs,
  decode,
  interval,
  replicates,
  verdict,
  type Better,
  type Verdict,
} from "./stats";
import { completeCells } from "./weights";

export interface Difference {
  /** Row minus first row. */
  value: number;
  low: number | null;
  high: number | null;
  verdict: Verdict | null;
}

export interface CellLine {
  cell: number;
  /** One value per row. */
  scores: number[];
  /** Of every row but the first. */
  differences: Difference[];
}

export interface Comparison {
  rows: RowData[];
  lines: CellLine[];
  /** Scores of the board where every row is complete, else unweighted means over the common tasks. */
  overall: { scores: number[]; differences: Difference[]; isScore: boolean };
  /** Common tasks won, tied and lost by every row but the first. */
  counts: [wins: number, ties: number, losses: number][];
}

const SAME = 1e-12;

/** Compares two or more rows, given by their places in `board.rows`; with resamples also intervals. */
export function compare(board: BoardData, places: readonly number[], data: ReplicateData | null): Comparison {
  const rows = places.map((place) => board.rows[place]!);
  const common = board.cells.map((_, cell) => cell).filter((cell) => rows.every((row) => row.cells[cell] !== null));
  const ranked = places.every((place) => place < board.n_ranked);
  const values = ranked && data !== null ? decode(data) : null;
  const ofCell = (cell: number): (Float64Array | null)[] =>
    places.map((place) =>
      values !== null && data?.mode === "items" ? cellReplicates(data, values, board.cells.length, cell, place) : null,
    );
  const lines = common.map((cell) => {
    const scores = rows.map((row) => row.cells[cell]!);
    return { cell, scores, differences: differences(scores, ofCell(cell), board) };
  });
  const counts = rows.slice(1).map((_, other): [number, number, number] => {
    const found = lines.map((line) => line.differences[other]!.value);
    const wins = found.filter((value) => value > SAME).length;
    const losses = found.filter((value) => value < -SAME).length;
    return [wins, found.length - wins - losses, losses];
  });
  return { rows, lines, overall: overall(board, places, lines, values !== null ? data : null), counts };
}

function overall(
  board: BoardData,
  places: readonly number[],
  lines: readonly CellLine[],
  data: ReplicateData | null,
): Comparison["overall"] {
  const rows = places.map((place) => board.rows[place]!);
  const isScore = rows.every((row) => row.score !== null);
  const scores = rows.map((row, place) =>
    isScore ? row.score! : lines.reduce((sum, line) => sum + line.scores[place]!, 0) / Math.max(1, lines.length),
  );
  if (!isScore || data === null) return { scores, differences: differences(scores, [], board), isScore };
  const all = replicates(
    data,
    decode(data),
    completeCells(board),
    board.cells.map((cell) => cell.weight),
  );
  const draws = places.map((place) => all[place]!);
  const own = differences(scores, draws, board);
  const better = decidedPairs(board);
  return {
    scores,
    differences: better ? own.map((one, other) => jointly(one, places[other + 1]!, places[0]!, better)) : own,
    isScore,
  };
}

/** The verdict on whole scores is the board's, which tests all pairs together, so that no two pages part. */
function jointly(difference: Difference, row: number, first: number, better: Better): Difference {
  if (better(row, first)) return { ...difference, verdict: "better" };
  if (better(first, row)) return { ...difference, verdict: "worse" };
  return { ...difference, verdict: difference.verdict === "practically equal" ? "practically equal" : "undecided" };
}

function differences(
  scores: readonly number[],
  draws: readonly (Float64Array | null)[],
  board: BoardData,
): Difference[] {
  return scores.slice(1).map((score, other) => {
    const value = score - scores[0]!;
    const [first, own] = [draws[0], draws[other + 1]];
    if (!first || !own) return { value, low: null, high: null, verdict: null };
    const [low, high] = interval(
      own.map((at, b) => at - first[b]!),
      board.level,
    );
    return { value, low, high, verdict: verdict(low, high, board.zone) };
  });
}

export interface Flip {
  split: string;
  subset: string;
  id: string;
  text: string;
  first: number;
  other: number;
}

/** Items that two rows answer most differently, worse ones of the other row first; at most `limit` in all. */
export function flips(items: ItemData, first: string, other: string, limit = 20): { worse: Flip[]; better: Flip[] } {
  const found: Flip[] = [];
  for (const part of items.parts) {
    const [a, b] = [part.values[first], part.values[other]];
    if (!a || !b) continue;
    part.ids.forEach((id, item) => {
      if (a[item] !== b[item])
        found.push({
          split: part.split,
          subset: part.subset,
          id,
          text: part.texts[item] ?? "",
          first: a[item]!,
          other: b[item]!,
        });
    });
  }
  const change = (flip: Flip): number => flip.other - flip.first;
  const worse = found.filter((flip) => change(flip) < 0).sort((x, y) => change(x) - change(y));
  const better = found.filter((flip) => change(flip) > 0).sort((x, y) => change(y) - change(x));
  const half = Math.floor(limit / 2);
  const nWorse = Math.min(worse.length, Math.max(half, limit - better.length));
  return { worse: worse.slice(0, nWorse), better: better.slice(0, limit - nWorse) };
}

/** Means of the common tasks of a group for every row; null where the group has none. */
export function groupMeans(board: BoardData, lines: readonly CellLine[], row: number): (number | null)[] {
  return board.groups.map((_, group) => {
    const own = lines.filter((line) => board.cells[line.cell]!.group === group).map((line) => line.scores[row]!);
    return own.length > 0 ? own.reduce((a, b) => a + b, 0) / own.length : null;
  });
}
