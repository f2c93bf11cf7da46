import assert from "node:assert/strict";
import { test } from "node:test";
import { nMoved } from "../src/arrange";
import { ordered, passes, type Row } from "../src/rows";
import { format, initial, parse } from "../src/state";

const defaults = { sort: "rank", descending: false };
const row = (id: string, values: Row["values"], ranked = true): Row => ({ id, ranked, text: id.toLowerCase(), values });

test("a state survives the URL", () => {
  const state = {
    query: "한국어 & bge",
    sort: "task:Ko-StrategyQA",
    descending: true,
    pins: ["BAAI/bge-m3@1", "a&b=c"],
    hidden: ["dim"],
    filters: { family: ["dense", "lexical"], tokens: ["2048"] },
    weights: { retrieval: 3, sts: 0 },
  };
  assert.deepEqual(parse(format(state, defaults), defaults), state);
});

test("what is as it was at first is not in the URL, and what others put there stays", () => {
  assert.equal(format(initial(defaults), defaults), "");
  assert.equal(format({ ...initial(defaults), query: "x" }, defaults, "?at=2026-01&q=old"), "?at=2026-01&q=x");
});

test("nonsense in the URL is dropped", () => {
  assert.deepEqual(parse("?w.a=minus&w.b=-1&w.c=&sort=&pin=a&pin=a", defaults), { ...initial(defaults), pins: ["a"] });
});

test("missing values come last in both directions, unranked rows after ranked ones, pinned rows first", () => {
  const rows = [row("a", { x: 1 }), row("b", { x: null }), row("c", { x: 2 }), row("d", { x: 9 }, false)];
  const names = (change: object) =>
    ordered(rows, { ...initial(defaults), sort: "x", ...change })
      .map((r) => r.id)
      .join("");
  assert.equal(names({}), "acbd");
  assert.equal(names({ descending: true }), "cabd");
  assert.equal(names({ pins: ["d", "b"] }), "dbac");
});

test("every word and every filter must fit; a row without the value does not pass", () => {
  const operations = { tokens: "min", params: "max", family: "in" } as const;
  const passing = (r: Row, change: object) => passes(r, { ...initial(defaults), ...change }, operations);
  const m3 = row("BAAI/bge-m3", { tokens: 8192, family: "dense", params: null });
  assert.equal(passing(m3, { query: "M3 baai" }), true);
  assert.equal(passing(m3, { query: "m3 e5" }), false);
  assert.equal(passing(m3, { filters: { tokens: ["8192"], family: ["lexical", "dense"] } }), true);
  assert.equal(passing(m3, { filters: { params: ["100000"] } }), false);
  assert.equal(passing(m3, { filters: { what: ["1"], tokens: ["many"], family: [] } }), true);
});

test("rows that stay in order are not moved", () => {
  assert.equal(nMoved([..."abcd"], [..."abcd"]), 0);
  assert.equal(nMoved([..."abcd"], [..."bd"]), 0);
  assert.equal(nMoved([..."abcd"], [..."cabd"]), 1);
  assert.equal(nMoved([..."abcd"], [..."dcba"]), 3);
});
