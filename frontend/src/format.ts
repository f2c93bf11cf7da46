// Numbers as readers see them: scores in points out of 100, as Python prints them.

export const NONE = "–";

/** A fraction in points with two decimals. */
export function points(value: number | null): string {
  return value === null ? NONE : (value * 100).toFixed(2);
}

/** A difference of fractions in points, always with its sign. */
export function signed(value: number, digits = 2): string {
  const text = (value * 100).toFixed(digits);
  if (Number(text) === 0) return text.replace("-", "");
  return value > 0 ? `+${text}` : text.replace("-", "−");
}

/** Half the width of an interval in points. */
export function plusMinus(low: number, high: number): string {
  return `±${((high - low) * 50).toFixed(1)}`;
}

/** 1.5B, 568M, 32K, 8192. */
export function count(value: number | null): string {
  if (value === null) return NONE;
  if (value >= 1e9) return `${(value / 1e9).toFixed(1)}B`;
  if (value >= 1e6) return `${(value / 1e6).toFixed(0)}M`;
  return value >= 1e4 ? `${(value / 1e3).toFixed(0)}K` : String(value);
}

/** Ranks from low to high; one number where they are the same. */
export function span(low: number | null, high: number | null): string {
  if (low === null || high === null) return NONE;
  return low === high ? String(low) : `${low}–${high}`;
}

/** Three significant digits, without an exponent. */
export function short(value: number): string {
  return value >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3)));
}

export type Key = number | string | null;

const UNITS: Record<string, number> = { K: 1e3, M: 1e6, B: 1e9 };

/** What a printed cell is sorted by: its number (63.21, 1,024, 1.5B, 1–6, 63.21 ±1.2), else its text; null: nothing. */
export function keyOf(printed: string): Key {
  const text = printed.trim().replace(/\s+/g, " ");
  if (["", NONE, "-", "·"].includes(text)) return null;
  const found = /^([-+−]?)([\d,]*\.?\d+) ?([KMB%]?)(?:[–±( ].*)?$/.exec(text);
  if (!found) return text;
  const number = Number(found[2]!.replace(/,/g, "")) * (UNITS[found[3]!] ?? 1);
  return ["-", "−"].includes(found[1]!) ? -number : number;
}
