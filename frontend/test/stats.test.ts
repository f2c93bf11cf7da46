import assert from "node:assert/strict";
import { test } from "node:test";
import type { ReplicateData } from "../src/schema";
import { decidedPairs, decode, interval, rankIntervals, ranksOf, replicates, scoresOf, verdict } from "../src/stats";
import { board } from "./data";
import golden from "./golden.json";

const near = (a: readonly number[] | Float64Array, b: readonly number[]): void => {
  assert.equal(a.length, b.length);
  b.forEach((value, i) => assert.ok(Math.abs(a[i]! - value) <= 1e-9, `${i}: ${a[i]} is not ${value}`));
};

for (const { data, cells, cases } of golden.boards) {
  const draws = data as ReplicateData;
  cases.forEach((expected, number) =>
    test(`resamples of ${data.mode} under weights ${number} are those of Python`, () => {
      const scores = scoresOf(cells, expected.weights);
      near(scores, expected.scores);
      const found = replicates(draws, decode(draws), cells, expected.weights);
      expected.replicates.forEach((row, b) =>
        near(
          found.map((own) => own[b]!),
          row,
        ),
      );
      const intervals = found.map((own) => interval(own, 0.95));
      near(
        intervals.map(([low]) => low),
        expected.low,
      );
      near(
        intervals.map(([, high]) => high),
        expected.high,
      );
      const ranks = rankIntervals(scores, found, 0.95);
      assert.deepEqual(ranks.low, expected.rank_low);
      assert.deepEqual(ranks.high, expected.rank_high);
      assert.equal(ranks.nUsed, data.n_replicates);
      const better = decidedPairs({ ...board, n_ranked: scores.length, better: expected.bits })!;
      const bits = scores.map((_, row) => scores.map((_, other) => (better(row, other) ? "1" : "0")).join(""));
      assert.deepEqual(bits, expected.better);
    }),
  );
}

test("percentile intervals are numpy's", () => {
  for (const [level, low, high] of golden.interval.levels)
    near(interval(golden.interval.values, level!), [low!, high!]);
});

test("verdicts are those of Python", () => {
  for (const [low, high, said] of golden.verdicts) assert.equal(verdict(Number(low), Number(high), 0.005), said);
});

test("equal scores share the best rank", () => {
  assert.deepEqual(ranksOf([0.5, 0.7, 0.5 + 1e-14, 0.1]), [2, 1, 2, 4]);
});

test("many pairs are compared on fewer resamples, and it is said", () => {
  const rows = Array.from({ length: 300 }, (_, row) =>
    Float64Array.from({ length: 1000 }, (_, b) => row + ((b * 7919) % 1000) / 1e5),
  );
  const found = rankIntervals(
    rows.map((_, row) => row),
    rows,
    0.95,
  );
  assert.equal(found.nUsed, Math.floor(4e7 / 44850));
  assert.deepEqual(rankIntervals([1], [new Float64Array(10)], 0.95), { low: [1], high: [1], nUsed: 10 });
});
