import assert from "node:assert/strict";
import { test } from "node:test";
import { linearTicks, logTicks, placed, reach, segments } from "../src/figures";
import { count, keyOf, plusMinus, points, short, signed, span } from "../src/format";

test("a radar has gaps where values are missing, also around the end", () => {
  assert.deepEqual(segments([0.5, 0.6, null, 0.7]), [
    [0, 1],
    [3, 0],
  ]);
  assert.deepEqual(segments([null, null, null]), []);
  assert.deepEqual(reach([{ label: "", values: [0.62, null, 0.88] }]), [0.5, 0.9]);
  assert.deepEqual(reach([{ label: "", values: [0.02, 1] }]), [0, 1]);
});

test("ticks are round and inside", () => {
  assert.deepEqual(
    linearTicks(0.41, 0.79).map((tick) => tick.toFixed(1)),
    ["0.5", "0.6", "0.7"],
  );
  assert.deepEqual(linearTicks(-3, 3), [-2, 0, 2]);
  assert.deepEqual(logTicks(0, 1.2), [1, 2, 5, 10]);
  assert.deepEqual(logTicks(6, 9), [1e6, 1e7, 1e8, 1e9]);
});

test("names never lie on each other or on points", () => {
  const spots = Array.from({ length: 9 }, (_, place) => ({
    text: `모델 name ${place}`,
    x: 300 + place,
    y: 100 + place,
  }));
  const boxes = placed(spots, [[294, 94, 314, 114]]).map((own) => own.box);
  assert.ok(boxes.length > 1 && boxes.length < 9);
  for (const a of boxes)
    for (const b of boxes) assert.ok(a === b || a[2] <= b[0] || b[2] <= a[0] || a[3] <= b[1] || b[3] <= a[1]);
});

test("numbers are printed as Python prints them, and read back for sorting", () => {
  assert.deepEqual(
    [points(0.63214), points(null), signed(0.0123), signed(-0.0123), signed(-0.00001)],
    ["63.21", "–", "+1.23", "−1.23", "0.00"],
  );
  assert.deepEqual(
    [count(7.6e9), count(568e6), count(32768), count(8192), count(null)],
    ["7.6B", "568M", "33K", "8192", "–"],
  );
  assert.deepEqual(
    [span(1, 6), span(2, 2), span(null, null), plusMinus(0.7, 0.8), short(1234.5), short(0.12345)],
    ["1–6", "2", "–", "±5.0", "1235", "0.123"],
  );
  assert.deepEqual(
    ["63.21 ±4.6", "1–6", "7.6B", "33K", "1,024", "−1.23", "+2.50", "55%", "–", "", "2026-11-21", "3i4K", "BGE"].map(
      keyOf,
    ),
    [63.21, 1, 7.6e9, 33000, 1024, -1.23, 2.5, 55, null, null, "2026-11-21", "3i4K", "BGE"],
  );
});
