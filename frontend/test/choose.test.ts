import assert from "node:assert/strict";
import { test } from "node:test";
import {
  best,
  cost,
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

const candidate = (score: number, at: number | null, low: number, high: number): Candidate => ({
  row: row({ score, rank_low: low, rank_high: high }),
  cost: at,
});

test("the front, ties as ties, and what is beaten for certain", () => {
  const all = [
    candidate(0.8, 100, 1, 2), // best
    candidate(0.79, 120, 1, 3), // dearer and not better, but not worse for certain
    candidate(0.7, 10, 3, 4), // cheapest
    candidate(0.6, 200, 5, 5), // beaten
    candidate(0.75, null, 2, 3), // unknown cost
    candidate(0.7, 10, 3, 4), // the same point as the cheapest
  ];
  assert.deepEqual(pareto(all), ["front", "tied", "front", "beaten", null, "front"]);
  assert.deepEqual(best(all), [all[0], all[1], all[4]]);
  assert.deepEqual(best([]), []);
});

test("a row that overlaps with one of those that beat it but not with another is beaten", () => {
  const all = [candidate(0.9, 1, 1, 1), candidate(0.8, 2, 2, 3), candidate(0.7, 3, 2, 3)];
  assert.deepEqual(pareto(all), ["front", "beaten", "beaten"]);
});
