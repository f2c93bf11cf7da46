import assert from "node:assert/strict";
import { test } from "node:test";
import { cellWeights, published, recomputed, shares } from "../src/weights";
import { board, itemDraws } from "./data";

const near = (a: readonly number[], b: readonly number[]): void =>
  b.forEach((value, i) => assert.ok(Math.abs(a[i]! - value) < 1e-12, `${a} is not ${b}`));

test("unchanged shares give the formula's weights, which need not sum to 1", () => {
  near(shares(board), [75, 25]);
  near(cellWeights(board, {})!, [0.4, 0.2, 0.2]);
  const { standings } = recomputed(board, cellWeights(board, {})!, null);
  near(
    standings.map((s) => s.score!),
    published(board).map((s) => s.score!),
  );
});

test("a changed share moves weight between groups, keeps it inside a group, and keeps the sum", () => {
  near(cellWeights(board, { retrieval: 25, sts: 25 })!, [0.8 / 3, 0.4 / 3, 0.4]);
  near(cellWeights(board, { retrieval: 0 })!, [0, 0, 0.8]);
  assert.equal(cellWeights(board, { retrieval: 0, sts: 0 }), null);
  near(cellWeights(board, { unknown: 50 })!, [0.4, 0.2, 0.2]);
});

test("order, intervals and rank sets follow the weights", () => {
  const { standings, nUsed } = recomputed(board, cellWeights(board, { retrieval: 0 })!, itemDraws());
  assert.equal(nUsed, 101);
  assert.deepEqual(
    standings.map((s) => [s.rank, s.rankLow, s.rankHigh]),
    [
      [2, 2, 2],
      [1, 1, 1],
      [3, 3, 3],
    ],
  );
  assert.ok(standings[1]!.low! < standings[1]!.score! && standings[1]!.score! < standings[1]!.high!);
  const without = recomputed(board, cellWeights(board, { retrieval: 0 })!, null).standings[1]!;
  assert.deepEqual([without.low, without.rankLow, without.rank], [null, 1, 1]);
});
