// Which models fit a reader's constraints, and which of them no other beats at the same cost. Pure; the page is in choose_page.ts.
import type { ModelData, RowData } from "./schema";
import type { Better } from "./stats";

export type Hardware = "any" | "cpu" | "gpu8" | "gpu24" | "gpu80";
export type Precision = "fp32" | "int8" | "binary";
export type Axis = "params" | "index" | "latency";

export interface Constraints {
  hardware: Hardware;
  /** Whether commercial use must be allowed. */
  commercial: boolean;
  /** Tokens of the longest text, or 0. */
  tokens: number;
  /** Whether a closed model behind an API will do. */
  api: boolean;
  /** Gigabytes (1e9 bytes) that the vectors of a million chunks may take, or 0. */
  index: number;
  precision: Precision;
}

/** One requirement of one model: `null` where the fact is unknown. `text` names the message, `values` fill it. */
export interface Reason {
  ok: boolean | null;
  text: "params_cpu" | "light" | "memory" | "license" | "conditional" | "tokens" | "api" | "index" | "index_other";
  values: (string | number)[];
}

const MEMORY: Record<string, number> = { gpu8: 8, gpu24: 24, gpu80: 80 };
const BYTES: Record<Precision, number> = { fp32: 4, int8: 1, binary: 1 / 8 };
const CPU_PARAMETERS = 1e9;
/** Kinds whose cost is not that of a network of their size. */
const LIGHT = ["lexical", "static"];

/** Gigabytes of the vectors of a million chunks; null where unknown or where a chunk is not one dense vector. */
export function indexGigabytes(model: ModelData, precision: Precision): number | null {
  const oneVector = model.kind === "dense" || model.kind === "static";
  return oneVector && model.dim !== null ? (model.dim * BYTES[precision] * 1e6) / 1e9 : null;
}

/** Gigabytes of weights at 2 bytes and a fifth for the rest. */
export function memoryGigabytes(model: ModelData): number | null {
  return model.n_parameters === null ? null : (model.n_parameters * 2 * 1.2) / 1e9;
}

/** Every requirement that the constraints make of a model. */
export function requirements(model: ModelData, wanted: Constraints): Reason[] {
  const out: Reason[] = [];
  const closed = model.open_weights === false;
  if (closed) out.push({ ok: wanted.api, text: "api", values: [] });
  else if (model.open_weights === null && !wanted.api) out.push({ ok: null, text: "api", values: [] });
  if (wanted.hardware !== "any" && !closed) out.push(hardware(model, wanted.hardware));
  if (wanted.commercial) {
    const known = { commercial: true, noncommercial: false }[model.license_class];
    const text = ["conditional", "closed"].includes(model.license_class) ? "conditional" : "license";
    out.push({ ok: known ?? null, text, values: [model.license] });
  }
  if (wanted.tokens > 0) {
    const unlimited = model.kind === "lexical" || (model.kind === "static" && model.max_tokens === null);
    const ok = unlimited ? true : model.max_tokens === null ? null : model.max_tokens >= wanted.tokens;
    out.push({ ok, text: "tokens", values: model.max_tokens === null ? [] : [model.max_tokens] });
  }
  if (wanted.index > 0) {
    const size = indexGigabytes(model, wanted.precision);
    const text = size === null && model.dim !== null ? "index_other" : "index";
    out.push({ ok: size === null ? null : size <= wanted.index, text, values: size === null ? [] : [size] });
  }
  return out;
}

function hardware(model: ModelData, where: Hardware): Reason {
  if (LIGHT.includes(model.kind)) return { ok: true, text: "light", values: [] };
  if (where === "cpu") {
    const n = model.n_parameters;
    return { ok: n === null ? null : n <= CPU_PARAMETERS, text: "params_cpu", values: n === null ? [] : [n] };
  }
  const needed = memoryGigabytes(model);
  return {
    ok: needed === null ? null : needed <= MEMORY[where]!,
    text: "memory",
    values: needed === null ? [] : [needed],
  };
}

/** Whether all requirements hold; null where one is unknown and none is broken. */
export function fits(reasons: readonly Reason[]): boolean | null {
  if (reasons.some((reason) => reason.ok === false)) return false;
  return reasons.some((reason) => reason.ok === null) ? null : true;
}

/** Cost on an axis, lower is better; null where unknown. */
export function cost(model: ModelData, axis: Axis, precision: Precision): number | null {
  if (axis === "params") return model.n_parameters;
  if (axis === "index") return indexGigabytes(model, precision);
  return model.texts_per_second ? 1 / model.texts_per_second : null;
}

export interface Candidate {
  row: RowData;
  /** Place of the row among those of its board. */
  index: number;
  cost: number | null;
}

/** `front`: nothing is as cheap and better. `tied`: what is, is not certainly better. `null`: cost unknown. */
export type Place = "front" | "tied" | "beaten" | null;

/** The place of every candidate, all of which have a score. */
export function pareto(candidates: readonly Candidate[], better: Better | null): Place[] {
  const priced = candidates.filter((other) => other.cost !== null);
  return candidates.map((own) => {
    if (own.cost === null) return null;
    const rivals = priced.filter((other) => beats(other, own));
    if (rivals.length === 0) return "front";
    return rivals.some((other) => better?.(other.index, own.index)) ? "beaten" : "tied";
  });
}

function beats(a: Candidate, b: Candidate): boolean {
  const [scoreA, scoreB] = [a.row.score!, b.row.score!];
  return a.cost! <= b.cost! && scoreA >= scoreB && (a.cost! < b.cost! || scoreA > scoreB);
}

/**
 * The candidates that no other candidate is certainly better than: their true first is among them with the board's
 * level, and no two of them are decided.
 */
export function firstGroup<T extends { index: number }>(candidates: readonly T[], better: Better): T[] {
  return candidates.filter((own) => !candidates.some((other) => better(other.index, own.index)));
}
