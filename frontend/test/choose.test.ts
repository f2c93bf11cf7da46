import assert from "node:assert/strict";
import { test } from "node:test";
import {
  cost,
  firstGroup,
  fits,
  indexGigabytes,
  pareto,
  requirements,
  type Candidate,
  type Constraints,
} from "../src/choose";
import { model, row } from "./data";

const free: Constraints = { hardware: "any", commercial: false, tokens: 0, api: true, index: 0, precision: "fp32" };
const fit = (facts: object, wanted: object): boolean | null => fits(requirements(model(facts), { ...free, ...wanted }));

test("without constraints everything fits, whatever is unknown", () => {
  assert.equal(
    fit({ n_parameters: null, dim: null, max_tokens: null, license_class: "", open_weights: null }, {}),
    true,
  );
});

test("hardware: weights of 2 bytes and a fifth; a CPU takes a billion parameters or what is no network", () => {
  assert.equal(fit({ n_parameters: 3.3e9 }, { hardware: "gpu8" }), true);
  assert.equal(fit({ n_parameters: 3.4e9 }, { hardware: "gpu8" }), false);
  assert.equal(fit({ n_parameters: 1.1e9 }, { hardware: "cpu" }), false);
  assert.equal(fit({ n_parameters: null, kind: "lexical" }, { hardware: "cpu" }), true);
  assert.equal(fit({ n_parameters: null }, { hardware: "gpu80" }), null);
});

test("unknown facts are neither a pass nor a failure, unless another requirement is broken", () => {
  assert.equal(fit({ license_class: "" }, { commercial: true }), null);
  assert.equal(fit({ license_class: "conditional" }, { commercial: true }), null);
  assert.equal(fit({ license_class: "noncommercial" }, { commercial: true }), false);
  assert.equal(fit({ license_class: "" }, { commercial: true, tokens: 8192 }), false);
  assert.equal(fit({ max_tokens: null }, { tokens: 100 }), null);
  assert.equal(fit({ max_tokens: null, kind: "lexical" }, { tokens: 100 }), true);
});

test("closed models run behind an API, on no hardware of the reader", () => {
  assert.equal(fit({ open_weights: false, n_parameters: null }, { hardware: "cpu" }), true);
  assert.equal(fit({ open_weights: false }, { api: false }), false);
  assert.equal(fit({ open_weights: null }, { api: false }), null);
});

test("index bytes of a million chunks", () => {
  assert.equal(indexGigabytes(model(), "fp32"), 4.096);
  assert.equal(indexGigabytes(model(), "binary"), 0.128);
  assert.equal(indexGigabytes(model({ kind: "late-interaction" }), "fp32"), null);
  assert.equal(fit({}, { index: 4 }), false);
  assert.equal(fit({}, { index: 4, precision: "int8" }), true);
  assert.equal(fit({ dim: null }, { index: 4 }), null);
  assert.equal(cost(model({ texts_per_second: 50 }), "latency", "fp32"), 0.02);
  assert.equal(cost(model(), "latency", "fp32"), null);
});

/** Rows on a board, of which the pairs are decided. */
const candidates = (...rows: [score: number, at: number | null][]): Candidate[] =>
  rows.map(([score, at], index) => ({ row: row({ score }), index, cost: at }));
const decided =
  (...pairs: [row: number, other: number][]) =>
  (a: number, b: number): boolean =>
    pairs.some(([first, second]) => first === a && second === b);

test("the front, ties as ties, and what is beaten for certain", () => {
  const all = candidates(
    [0.8, 100], // best
    [0.79, 120], // dearer and not better, but not worse for certain
    [0.7, 10], // cheapest
    [0.6, 200], // beaten
    [0.75, null], // unknown cost
    [0.7, 10], // the same point as the cheapest
  );
  const better = decided([0, 2], [0, 3], [0, 5], [1, 3], [2, 3]);
  assert.deepEqual(pareto(all, better), ["front", "tied", "front", "beaten", null, "front"]);
  assert.deepEqual(firstGroup(all, better), [all[0], all[1], all[4]]);
  assert.deepEqual(firstGroup([], better), []);
});

test("a row that one of those that beat it is certainly better than is beaten, whatever the others are", () => {
  const all = candidates([0.9, 1], [0.8, 2], [0.7, 3]);
  assert.deepEqual(pareto(all, decided([0, 1], [0, 2])), ["front", "beaten", "beaten"]);
});

test("not to be told apart is not handed on: A from B and B from C says nothing of A from C", () => {
  const all = candidates([0.9, 1], [0.85, 2], [0.8, 3]);
  const better = decided([0, 2]);
  assert.deepEqual(firstGroup(all, better), [all[0], all[1]]);
  // Among B and C alone both are in the first group, though C is not in that of all three.
  assert.deepEqual(firstGroup(all.slice(1), better), [all[1], all[2]]);
});

test("without intervals nothing was tested, so nothing is beaten for certain", () => {
  assert.deepEqual(pareto(candidates([0.9, 1], [0.8, 2]), null), ["front", "tied"]);
});
