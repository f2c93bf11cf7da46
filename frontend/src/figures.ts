// Figures as SVG: profile of groups, differences with intervals, score against cost. Numbers are in a table beside each.
import { el, svg } from "./dom";
import { points, short, signed } from "./format";

/** A figure with its title and note. */
function figure(title: string, note: string, drawing: SVGElement, ...more: Node[]): HTMLElement {
  drawing.setAttribute("role", "img");
  drawing.setAttribute("aria-label", title);
  // On a phone the drawing keeps a readable size and scrolls by itself.
  const wide = el("div", { class: "wide-drawing", tabindex: 0, role: "region", "aria-label": title }, drawing);
  return el(
    "figure",
    { class: "figure" },
    el("figcaption", {}, el("h2", {}, title), ...(note ? [el("p", {}, note)] : [])),
    wide,
    ...more,
  );
}

/** Shapes tell rows apart where colours do not. */
const MARKS = ["●", "■", "▲", "◆"];

export interface Series {
  label: string;
  values: (number | null)[];
}

/** Centre and rim of a radar in fractions: tenths around all values. */
export function reach(series: readonly Series[]): [centre: number, rim: number] {
  const known = series.flatMap((own) => own.values).filter((value) => value !== null);
  if (known.length === 0) return [0, 1];
  return [
    Math.max(0, Math.floor(Math.min(...known) * 10 - 0.5) / 10),
    Math.min(1, Math.ceil(Math.max(...known) * 10) / 10),
  ];
}

/** Lines between neighbouring axes that both have a value, as pairs of axes; a missing value is a gap, never 0. */
export function segments(values: readonly (number | null)[]): [number, number][] {
  return values
    .map((_, axis): [number, number] => [axis, (axis + 1) % values.length])
    .filter(([a, b]) => values[a] !== null && values[b] !== null);
}

/** A radar of groups; at least three axes. */
export function radar(title: string, note: string, axes: readonly string[], series: readonly Series[]): HTMLElement {
  const [from, to] = reach(series);
  const at = (axis: number, value: number): [number, number] => {
    const angle = (2 * Math.PI * axis) / axes.length - Math.PI / 2;
    const radius = (150 * (value - from)) / (to - from);
    return [Math.cos(angle) * radius, Math.sin(angle) * radius];
  };
  const drawing = svg("svg", { class: "radar", viewBox: "-290 -190 580 380" });
  for (let ring = from + 0.1; ring < to + 1e-6; ring += 0.1) {
    drawing.append(
      svg("polygon", {
        class: "grid",
        points: axes
          .map((_, axis) =>
            at(axis, ring)
              .map((x) => x.toFixed(1))
              .join(","),
          )
          .join(" "),
      }),
    );
    drawing.append(
      svg("text", { class: "tick", x: 3, y: (at(0, ring)[1] + 4).toFixed(1) }, String(Math.round(ring * 100))),
    );
  }
  axes.forEach((text, axis) => {
    const [x, y] = at(axis, to);
    const anchor = Math.abs(x) < 5 ? "middle" : x > 0 ? "start" : "end";
    drawing.append(svg("line", { class: "grid", x1: 0, y1: 0, x2: x.toFixed(1), y2: y.toFixed(1) }));
    drawing.append(
      svg(
        "text",
        { class: "label", x: (x * 1.06).toFixed(1), y: (y * 1.1 + 4).toFixed(1), "text-anchor": anchor },
        text,
      ),
    );
  });
  series.forEach((own, place) => {
    const group = svg("g", { class: `series series-${place}` }, svg("title", {}, own.label));
    for (const [a, b] of segments(own.values)) {
      const [[x1, y1], [x2, y2]] = [at(a, own.values[a]!), at(b, own.values[b]!)];
      group.append(svg("line", { x1: x1.toFixed(1), y1: y1.toFixed(1), x2: x2.toFixed(1), y2: y2.toFixed(1) }));
    }
    own.values.forEach((value, axis) => {
      if (value === null) return;
      const [x, y] = at(axis, value);
      group.append(
        svg(
          "text",
          { class: "mark", x: x.toFixed(1), y: (y + 4).toFixed(1), "text-anchor": "middle" },
          MARKS[place % MARKS.length]!,
        ),
      );
    });
    drawing.append(group);
  });
  return figure(title, note, drawing, legend(series.map((own) => own.label)));
}

function legend(labels: readonly string[]): HTMLElement {
  const items = labels.map((label, place) =>
    el(
      "li",
      { class: `series-${place}` },
      el("span", { "aria-hidden": "true" }, `${MARKS[place % MARKS.length]} `),
      el("span", { dir: "auto" }, label),
    ),
  );
  return el("ul", { class: "legend" }, ...items);
}

export interface Bar {
  label: string;
  /** One difference per row but the first. */
  values: { value: number; low: number | null; high: number | null }[];
}

/** Differences with intervals, one line per task and row; the band is +-zone. */
export function forest(
  title: string,
  note: string,
  bars: readonly Bar[],
  labels: readonly string[],
  zone: number,
): HTMLElement {
  const ends = bars.flatMap((bar) => bar.values.flatMap((own) => [own.value, own.low ?? 0, own.high ?? 0]));
  const widest = Math.max(zone * 2, ...ends.map(Math.abs)) * 1.05;
  const x = (value: number): string => (250 + (value / widest) * 240).toFixed(1);
  const step = 16 * labels.length + 10;
  const height = step * bars.length;
  const drawing = svg("svg", { class: "forest-plot", viewBox: `-240 -6 740 ${height + 30}` });
  drawing.append(svg("rect", { class: "zone", x: x(-zone), width: ((zone / widest) * 480).toFixed(1), y: 0, height }));
  for (const tick of linearTicks(-widest, widest)) {
    drawing.append(svg("line", { class: tick === 0 ? "zero" : "grid", x1: x(tick), x2: x(tick), y1: 0, y2: height }));
    drawing.append(
      svg("text", { class: "tick", x: x(tick), y: height + 18, "text-anchor": "middle" }, signed(tick, 1)),
    );
  }
  bars.forEach((bar, row) => {
    drawing.append(
      svg("text", { class: "label", x: -8, y: row * step + step / 2 + 4, "text-anchor": "end" }, clip(bar.label, 34)),
    );
    bar.values.forEach((own, place) => {
      const y = row * step + 13 + 16 * place;
      const group = svg(
        "g",
        { class: `series series-${place + 1}` },
        svg("title", {}, `${labels[place]}, ${bar.label}: ${signed(own.value)}`),
      );
      if (own.low !== null && own.high !== null)
        group.append(svg("line", { x1: x(own.low), x2: x(own.high), y1: y, y2: y }));
      group.append(
        svg(
          "text",
          { class: "mark", x: x(own.value), y: y + 4, "text-anchor": "middle" },
          MARKS[(place + 1) % MARKS.length]!,
        ),
      );
      drawing.append(group);
    });
  });
  return figure(title, note, drawing);
}

export interface Point {
  label: string;
  x: number;
  score: number;
  low: number | null;
  high: number | null;
  place: "front" | "tied" | "beaten";
}

/** Score against cost on a logarithmic axis. */
export function scatter(title: string, note: string, points_: readonly Point[], axis: string): HTMLElement {
  const logs = points_.map((point) => Math.log10(point.x));
  const [left, right] = padded(Math.min(...logs), Math.max(...logs), 0.15);
  const [bottom, top] = padded(
    Math.min(...points_.map((p) => p.low ?? p.score)),
    Math.max(...points_.map((p) => p.high ?? p.score)),
    0.01,
  );
  const x = (value: number): number => ((Math.log10(value) - left) / (right - left)) * 820;
  const y = (score: number): number => 380 - ((score - bottom) / (top - bottom)) * 380;
  const drawing = svg("svg", { class: "plot scatter", viewBox: "-60 -14 900 450" });
  for (const tick of linearTicks(bottom, top)) {
    drawing.append(svg("line", { class: "grid", x1: 0, x2: 820, y1: y(tick).toFixed(1), y2: y(tick).toFixed(1) }));
    drawing.append(
      svg(
        "text",
        { class: "tick", x: -8, y: (y(tick) + 4).toFixed(1), "text-anchor": "end" },
        String(Number((tick * 100).toFixed(1))),
      ),
    );
  }
  for (const tick of logTicks(left, right)) {
    drawing.append(svg("line", { class: "grid", y1: 0, y2: 380, x1: x(tick).toFixed(1), x2: x(tick).toFixed(1) }));
    drawing.append(
      svg("text", { class: "tick", x: x(tick).toFixed(1), y: 398, "text-anchor": "middle" }, compact(tick)),
    );
  }
  drawing.append(svg("text", { class: "tick", x: 410, y: 424, "text-anchor": "middle" }, axis));
  const order = { beaten: 0, tied: 1, front: 2 };
  const sorted = [...points_].sort((a, b) => order[a.place] - order[b.place]);
  for (const point of sorted) drawing.append(dot(point, x(point.x), y));
  const names = sorted.filter((point) => point.place === "front").sort((a, b) => b.score - a.score);
  const spots = names.map((point): Spot => ({ text: clip(point.label, 30), x: x(point.x), y: y(point.score) }));
  const taken = sorted.map((point): Box => [x(point.x) - 6, y(point.score) - 6, x(point.x) + 6, y(point.score) + 6]);
  for (const { text, box } of placed(spots, taken))
    drawing.append(svg("text", { class: "label", x: box[0].toFixed(1), y: (box[3] - 4).toFixed(1) }, text));
  return figure(title, note, drawing);
}

function dot(point: Point, at: number, y: (score: number) => number): SVGElement {
  const x = at.toFixed(1);
  const group = svg("g", { class: `point ${point.place}` }, svg("title", {}, `${point.label}: ${points(point.score)}`));
  if (point.low !== null && point.high !== null)
    group.append(
      svg("line", { class: "whisker", x1: x, x2: x, y1: y(point.low).toFixed(1), y2: y(point.high).toFixed(1) }),
    );
  group.append(svg("circle", { cx: x, cy: y(point.score).toFixed(1), r: point.place === "beaten" ? 3 : 5 }));
  return group;
}

/** Left, top, right, bottom. */
type Box = [number, number, number, number];

interface Spot {
  text: string;
  x: number;
  y: number;
}

/** Places for names beside their points, where they hide nothing; names without such a place are left out. */
export function placed(spots: readonly Spot[], taken: readonly Box[], right = 830): { text: string; box: Box }[] {
  const used = [...taken];
  const found: { text: string; box: Box }[] = [];
  for (const { text, x, y } of spots) {
    // Wide letters (Hangul) take twice the room.
    const width = [...text].reduce((sum, letter) => sum + (letter > "\u1100" ? 13 : 7.2), 0);
    const box = (left: number, top: number): Box => [left, top, left + width, top + 16];
    const tries = [
      box(x + 9, y - 18),
      box(x - 9 - width, y - 18),
      box(x + 9, y + 3),
      box(x - 9 - width, y + 3),
      box(x + 9, y - 34),
      box(x + 9, y + 19),
    ];
    const free = tries.find((own) => own[0] > -55 && own[2] < right && !used.some((other) => overlaps(own, other)));
    if (!free) continue;
    used.push(free);
    found.push({ text, box: free });
  }
  return found;
}

function overlaps(a: Box, b: Box): boolean {
  return a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];
}

function padded(low: number, high: number, least: number): [number, number] {
  const pad = Math.max(least, (high - low) * 0.05);
  return [low - pad, high + pad];
}

/** Round values of a linear axis, five or so. */
export function linearTicks(low: number, high: number): number[] {
  const rough = (high - low) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((digit) => digit * power).find((own) => own >= rough)!;
  const first = Math.ceil(low / step);
  return Array.from({ length: Math.max(0, Math.floor(high / step) - first + 1) }, (_, place) => (first + place) * step);
}

/** 1, 2 and 5 times powers of ten between two exponents; only powers where there are many. */
export function logTicks(low: number, high: number): number[] {
  const digits = high - low > 2.5 ? [1] : [1, 2, 5];
  const found: number[] = [];
  for (let power = Math.floor(low); power <= high; power++) {
    for (const digit of digits) {
      const value = digit * 10 ** power;
      if (Math.log10(value) >= low && Math.log10(value) <= high) found.push(value);
    }
  }
  return found;
}

function compact(value: number): string {
  if (value >= 1e9) return `${short(value / 1e9)}B`;
  if (value >= 1e6) return `${short(value / 1e6)}M`;
  return value >= 1e3 ? `${short(value / 1e3)}K` : short(value);
}

function clip(text: string, length: number): string {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}
