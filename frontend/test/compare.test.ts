import assert from "node:assert/strict";
import { test } from "node:test";
import { compare, flips, groupMeans } from "../src/compare";
import type { ItemData } from "../src/schema";
import { base64, board, itemDraws } from "./data";

const close = (a: number | null, b: number): void =>
  assert.ok(a !== null && Math.abs(a - b) < 1e-9, `${a} is not ${b}`);

test("differences of complete rows have intervals and verdicts of paired resamples", () => {
  const found = compare(board, [0, 1, 2], itemDraws());
  assert.deepEqual(
    found.lines.map((line) => line.cell),
    [0, 1, 2],
  );
  const [a, b, c] = found.lines.map((line) => line.differences[0]!);
  // What both rows share cancels; only the wavering of y in cell a is left: +-0.015 at most, 95 % of it.
  close(a!.value, -0.1);
  close(a!.low, -0.1 - 0.0003 * 47.5);
  close(a!.high, -0.1 + 0.0003 * 47.5);
  assert.deepEqual([a!.verdict, b!.verdict, c!.verdict], ["worse", "practically equal", "better"]);
  assert.deepEqual(found.counts, [
    [1, 1, 1],
    [0, 0, 3],
  ]);
  assert.equal(found.overall.isScore, true);
  close(found.overall.differences[0]!.value, -0.02);
  close(found.overall.differences[0]!.low, -0.02 - 0.4 * 0.0003 * 47.5);
  // The pair's own interval leaves 0 out, but among all pairs of the board x and y are not decided; x and z are.
  assert.ok(found.overall.differences[0]!.high! < 0);
  assert.deepEqual(
    found.overall.differences.map((difference) => difference.verdict),
    ["undecided", "worse"],
  );
});

test("with an incomplete row only common tasks count, without intervals", () => {
  const found = compare(board, [3, 0], itemDraws());
  assert.deepEqual(
    found.lines.map((line) => line.cell),
    [0, 2],
  );
  assert.equal(found.overall.isScore, false);
  close(found.overall.scores[0]!, 0.825);
  close(found.overall.scores[1]!, 0.7);
  assert.deepEqual([found.overall.differences[0]!.low, found.lines[0]!.differences[0]!.verdict], [null, null]);
  assert.deepEqual(groupMeans(board, found.lines, 0), [0.75, 0.9]);
});

test("resampled tasks give an interval to the overall difference only", () => {
  const counts = Uint8Array.from([1, 1, 1, 2, 0, 1, 0, 2, 1]);
  const data = {
    slug: "b",
    mode: "tasks" as const,
    n_replicates: 3,
    scale: 1,
    strata: [0, 0, 1],
    values: base64(counts),
  };
  const found = compare(board, [0, 1], data);
  assert.equal(found.lines[0]!.differences[0]!.low, null);
  // By hand: 0.4 * -0.1 + 0.2 * 0.1; 0.6 * -0.1 + 0.2 * 0.1; 0.2 * 0.1.
  close(found.overall.differences[0]!.low, -0.04 + 0.05 * 0.02);
  close(found.overall.differences[0]!.high, 0.02 - 0.05 * 0.04);
  assert.equal(found.overall.differences[0]!.verdict, "undecided");
});

test("rows without a common task and groups without one give gaps, not zeros", () => {
  const rows = [
    { ...board.rows[3]!, cells: [0.5, null, null] },
    { ...board.rows[3]!, cells: [null, 0.5, null] },
  ];
  const found = compare({ ...board, rows, n_ranked: 0 }, [0, 1], null);
  assert.deepEqual(found.lines, []);
  assert.deepEqual(groupMeans(board, found.lines, 0), [null, null]);
});

test("flips: largest differences first, both directions, rows without items give none", () => {
  const part = {
    split: "test",
    subset: "default",
    ids: ["i", "j", "k", "l"],
    texts: ["", "q"],
    values: { x: [1, 0, 0.5, 1], y: [0, 1, 0.5, 0.9] },
  };
  const items: ItemData = { slug: "a", task: "a", meaning: { ko: "", en: "" }, parts: [part], n_left_out: 0 };
  const { worse, better } = flips(items, "x", "y");
  assert.deepEqual(
    worse.map((flip) => flip.id),
    ["i", "l"],
  );
  assert.deepEqual(
    better.map((flip) => [flip.id, flip.text]),
    [["j", "q"]],
  );
  assert.deepEqual(flips(items, "x", "w"), { worse: [], better: [] });
  const short = flips(items, "x", "y", 2);
  assert.deepEqual([short.worse.length, short.better.length], [1, 1]);
});
