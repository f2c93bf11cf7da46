// Resamples under other weights, intervals, rank sets and verdicts: kemb.statistics in the browser, equal to it to 1e-9.
import type { BoardData, ReplicateData } from "./schema";

export type Verdict = "better" | "worse" | "practically equal" | "undecided";

/** Whether one ranked row is certainly better than another, both given by their places on the board. */
export type Better = (row: number, other: number) => boolean;

/** The decided pairs of a board (`statistics.certainly_better`); null where there are no intervals. */
export function decidedPairs(board: BoardData): Better | null {
  if (board.better === "") return null;
  const bits = Uint8Array.from(atob(board.better), (byte) => byte.charCodeAt(0));
  return (row, other) => {
    const bit = row * board.n_ranked + other;
    return ((bits[bit >> 3]! >> (bit & 7)) & 1) === 1;
  };
}

/** Numbers of `ReplicateData.values`: int16 of items, uint8 of tasks. */
export function decode(data: ReplicateData): Int16Array | Uint8Array {
  const text = atob(data.values);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  if (data.mode === "tasks") return bytes;
  const view = new DataView(bytes.buffer);
  const out = new Int16Array(bytes.length >> 1);
  for (let i = 0; i < out.length; i++) out[i] = view.getInt16(2 * i, true);
  return out;
}

/** Weighted sum of every row's cells. */
export function scoresOf(cells: readonly (readonly number[])[], weights: readonly number[]): number[] {
  return cells.map((row) => row.reduce((sum, value, cell) => sum + value * weights[cell]!, 0));
}

/** The weight of every cell in every replicate [B * T]: a stratum keeps the sum of its weights (`stats.weigh_draws`). */
export function weighDraws(counts: Uint8Array, strata: readonly number[], weights: readonly number[]): Float64Array {
  const nCells = weights.length;
  const drawn = new Float64Array(counts.length);
  const nStrata = 1 + Math.max(-1, ...strata);
  const sums = new Float64Array(nStrata);
  strata.forEach((stratum, cell) => (sums[stratum]! += weights[cell]!));
  const total = new Float64Array(nStrata);
  for (let start = 0; start < counts.length; start += nCells) {
    total.fill(0);
    for (let cell = 0; cell < nCells; cell++) total[strata[cell]!]! += counts[start + cell]! * weights[cell]!;
    for (let cell = 0; cell < nCells; cell++) {
      const stratum = strata[cell]!;
      const own = counts[start + cell]! * weights[cell]! * sums[stratum]!;
      drawn[start + cell] = total[stratum]! > 0 ? own / total[stratum]! : 0;
    }
  }
  return drawn;
}

/** Overall scores on the resamples: for every row [B]. `cells` are those of complete rows [M][T]; items ignore them. */
export function replicates(
  data: ReplicateData,
  values: Int16Array | Uint8Array,
  cells: readonly (readonly number[])[],
  weights: readonly number[],
): Float64Array[] {
  const [nRows, nCells, n] = [cells.length, weights.length, data.n_replicates];
  const out = cells.map(() => new Float64Array(n));
  if (data.mode === "tasks") {
    const drawn = weighDraws(values as Uint8Array, data.strata, weights);
    out.forEach((own, row) => {
      for (let b = 0; b < n; b++) {
        let sum = 0;
        for (let cell = 0; cell < nCells; cell++) sum += drawn[b * nCells + cell]! * cells[row]![cell]!;
        own[b] = sum;
      }
    });
    return out;
  }
  const scaled = weights.map((weight) => weight / data.scale);
  for (let b = 0; b < n; b++) {
    for (let cell = 0; cell < nCells; cell++) {
      const start = (b * nCells + cell) * nRows;
      for (let row = 0; row < nRows; row++) out[row]![b]! += values[start + row]! * scaled[cell]!;
    }
  }
  return out;
}

/** Scores of one row in one cell on the resamples [B]; only of items. */
export function cellReplicates(
  data: ReplicateData,
  values: Int16Array | Uint8Array,
  nCells: number,
  cell: number,
  row: number,
): Float64Array {
  const nRows = values.length / data.n_replicates / nCells;
  const out = new Float64Array(data.n_replicates);
  for (let b = 0; b < out.length; b++) out[b] = values[(b * nCells + cell) * nRows + row]! / data.scale;
  return out;
}

/** Percentile interval (numpy's quantile, method "linear"). */
export function interval(values: Float64Array | readonly number[], level: number): [number, number] {
  const sorted = Float64Array.from(values).sort();
  const at = (q: number): number => {
    const place = q * (sorted.length - 1);
    const below = Math.floor(place);
    const low = sorted[below]!;
    return low + (sorted[Math.min(below + 1, sorted.length - 1)]! - low) * (place - below);
  };
  const tail = (1 - level) / 2;
  return [at(tail), at(1 - tail)];
}

/** Ranks from 1, the highest score first; equal scores (to 1e-12) share the best rank. */
export function ranksOf(scores: readonly number[]): number[] {
  const rounded = scores.map((score) => Math.round(score * 1e12));
  const sorted = [...rounded].sort((a, b) => b - a);
  const first = new Map<number, number>();
  sorted.forEach((score, place) => first.has(score) || first.set(score, place + 1));
  return rounded.map((score) => first.get(score)!);
}

export interface RankIntervals {
  low: number[];
  high: number[];
  /** Resamples that were looked at: fewer than there are where there are very many pairs. */
  nUsed: number;
}

/** Differences that are computed at most in one pass. */
const MAX_DIFFERENCES = 4e7;

/** Simultaneous rank intervals (Mogstad et al. 2024): a port of `stats.rank_intervals`, replicates by row. */
export function rankIntervals(
  point: readonly number[],
  replicatesOf: readonly Float64Array[],
  level: number,
): RankIntervals {
  const n = point.length;
  const nPairs = (n * (n - 1)) / 2;
  const all = replicatesOf[0]?.length ?? 0;
  const nUsed = Math.min(all, Math.max(2, Math.floor(MAX_DIFFERENCES / Math.max(1, nPairs))));
  const low = new Array<number>(n).fill(1);
  const high = new Array<number>(n).fill(n);
  certainPairs(point, nUsed < all ? replicatesOf.map((own) => own.subarray(0, nUsed)) : replicatesOf, level, (a, b) => {
    low[b]! += 1;
    high[a]! -= 1;
  });
  return { low, high, nUsed };
}

/** Calls back with every pair of which the first is certainly better: step-down max-|t| (`stats.certainly_better`). */
function certainPairs(
  point: readonly number[],
  replicatesOf: readonly Float64Array[],
  level: number,
  found: (better: number, worse: number) => void,
): void {
  const n = point.length;
  const nReplicates = replicatesOf[0]?.length ?? 0;
  const firsts: number[] = [];
  const seconds: number[] = [];
  for (let a = 0; a < n; a++) for (let b = a + 1; b < n; b++) (firsts.push(a), seconds.push(b));
  const differences = firsts.map((first, pair) => point[first]! - point[seconds[pair]!]!);
  const errors = firsts.map((first, pair) => deviation(replicatesOf[first]!, replicatesOf[seconds[pair]!]!));
  const observed = differences.map((d, pair) => (Math.abs(d) <= 1e-12 ? 0 : Math.abs(d) / errors[pair]!));
  const decided = new Uint8Array(firsts.length);
  const highest = new Float64Array(nReplicates);
  for (let changed = true; changed; ) {
    changed = false;
    highest.fill(0);
    for (let pair = 0; pair < decided.length; pair++) {
      const [error, difference] = [errors[pair]!, differences[pair]!];
      if (!(error > 0)) continue;
      // What is decided keeps its opposite hypothesis.
      const sign = decided[pair] ? -Math.sign(difference) : 0;
      raise(highest, replicatesOf[firsts[pair]!]!, replicatesOf[seconds[pair]!]!, difference, error, sign);
    }
    const critical = Float64Array.from(highest).sort()[Math.ceil(level * (nReplicates - 1))]!;
    for (let pair = 0; pair < decided.length; pair++) {
      if (decided[pair] || !(observed[pair]! > critical)) continue;
      decided[pair] = 1;
      changed = true;
    }
  }
  decided.forEach((yes, pair) => {
    if (yes && differences[pair]! > 0) found(firsts[pair]!, seconds[pair]!);
    if (yes && differences[pair]! < 0) found(seconds[pair]!, firsts[pair]!);
  });
}

/** highest = max(highest, t of every replicate); |t| where `sign` is 0. */
function raise(
  highest: Float64Array,
  a: Float64Array,
  b: Float64Array,
  difference: number,
  error: number,
  sign: number,
): void {
  for (let i = 0; i < highest.length; i++) {
    const t = (a[i]! - b[i]! - difference) / error;
    const own = sign === 0 ? Math.abs(t) : sign * t;
    if (own > highest[i]!) highest[i] = own;
  }
}

/** Standard deviation (n - 1) of a - b. */
function deviation(a: Float64Array, b: Float64Array): number {
  let mean = 0;
  for (let i = 0; i < a.length; i++) mean += a[i]! - b[i]!;
  mean /= a.length;
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i]! - b[i]! - mean) ** 2;
  return Math.sqrt(sum / (a.length - 1));
}

/** What an interval of a difference allows to say (`stats.verdict`). */
export function verdict(low: number, high: number, zone: number): Verdict {
  if (-zone <= low && high <= zone) return "practically equal";
  return low > 0 ? "better" : high < 0 ? "worse" : "undecided";
}
