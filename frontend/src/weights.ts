// A board under other weights of its groups: scores, intervals and ranks again. Pure; the sliders are in sliders.ts.
import type { BoardData, ReplicateData } from "./schema";
import { decode, interval, rankIntervals, ranksOf, replicates, scoresOf } from "./stats";

/** What changes with the weights, of one complete row. */
export interface Standing {
  score: number | null;
  low: number | null;
  high: number | null;
  rank: number | null;
  rankLow: number | null;
  rankHigh: number | null;
}

/** Shares of the groups in percent, as the formula has them. */
export function shares(board: BoardData): number[] {
  const total = board.groups.reduce((sum, group) => sum + group.weight, 0);
  return board.groups.map((group) => (total > 0 ? (100 * group.weight) / total : 0));
}

/** Weights of the cells when groups have other shares; the sum stays. Null where nothing has weight. */
export function cellWeights(board: BoardData, changed: Readonly<Record<string, number>>): number[] | null {
  const own = shares(board);
  const chosen = board.groups.map((group, place) => changed[group.key] ?? own[place]!);
  const sum = chosen.reduce((a, b) => a + b, 0);
  const total = board.groups.reduce((a, group) => a + group.weight, 0);
  if (!(sum > 0) || !(total > 0)) return null;
  const inside = board.groups.map(() => 0);
  for (const cell of board.cells) inside[cell.group]! += cell.weight;
  return board.cells.map((cell) =>
    inside[cell.group]! > 0 ? (cell.weight / inside[cell.group]!) * (chosen[cell.group]! / sum) * total : 0,
  );
}

/** Standings as the board has them. */
export function published(board: BoardData): Standing[] {
  return board.rows.slice(0, board.n_ranked).map((row) => ({
    score: row.score,
    low: row.low,
    high: row.high,
    rank: row.rank,
    rankLow: row.rank_low,
    rankHigh: row.rank_high,
  }));
}

/** Standings of the complete rows under weights of the cells, and the resamples that the ranks were made from. */
export function recomputed(
  board: BoardData,
  weights: readonly number[],
  data: ReplicateData | null,
): { standings: Standing[]; nUsed: number } {
  const cells = completeCells(board);
  const scores = scoresOf(cells, weights);
  const ranks = ranksOf(scores);
  const draws = data === null || cells.length === 0 ? null : replicates(data, decode(data), cells, weights);
  const sets = draws === null ? null : rankIntervals(scores, draws, board.level);
  const standings = scores.map((score, row) => {
    const [low, high] = draws === null ? [null, null] : interval(draws[row]!, board.level);
    return {
      score,
      low,
      high,
      rank: ranks[row]!,
      rankLow: sets?.low[row] ?? ranks[row]!,
      rankHigh: sets?.high[row] ?? ranks[row]!,
    };
  });
  return { standings, nUsed: sets?.nUsed ?? 0 };
}

/** Cells of the complete rows. */
export function completeCells(board: BoardData): number[][] {
  return board.rows.slice(0, board.n_ranked).map((row) => row.cells.map((value) => value ?? 0));
}
