// The page that asks what a reader can run, and shows what is left.
import {
  cost,
  firstGroup,
  fits,
  pareto,
  requirements,
  type Axis,
  type Candidate,
  type Constraints,
  type Hardware,
  type Place,
  type Precision,
  type Reason,
} from "./choose";
import { boardOptions, sourceOf } from "./compare_page";
import { all, codeBlock, el, notice, one, page, query, setQuery, unhide } from "./dom";
import { scatter, type Point } from "./figures";
import { count, plusMinus, points, short, span } from "./format";
import { t, type Text } from "./i18n";
import { load } from "./load";
import type { BoardData, ModelData, SiteData } from "./schema";
import { decidedPairs, type Better } from "./stats";

interface Choice extends Candidate {
  model: ModelData;
  reasons: Reason[];
  fit: boolean | null;
  place: Place;
}

export async function startChoose(site: SiteData): Promise<void> {
  const form = one<HTMLFormElement>("#constraints");
  const result = one<HTMLElement>("#result");
  if (!form || !result || site.boards.length === 0) return;
  one<HTMLSelectElement>('select[name="board"]', form)?.replaceChildren(...boardOptions(site.boards));
  const fields = all<HTMLInputElement | HTMLSelectElement>("[name]", form);
  const first = fields.map(valueOf);
  restore(fields);
  const show = async (): Promise<void> => {
    const parts = fields
      .map((field, place) => [field.name, valueOf(field), first[place]!])
      .filter(([, value, initial]) => value !== initial);
    const text = new URLSearchParams(parts.map(([name, value]) => [name!, value!])).toString();
    setQuery(text && `?${text}`);
    const get = (name: string): string => valueOf(fields.find((field) => field.name === name)!);
    try {
      const board = await load(`board-${get("board")}`);
      if (board.slug === get("board")) render(result, site, board, constraints(get), get("axis") as Axis);
    } catch (error) {
      notice((error as Error).message);
    }
  };
  form.addEventListener("input", () => void show());
  form.addEventListener("submit", (event) => event.preventDefault());
  await show();
  unhide(form);
  for (const fallback of all<HTMLElement>(".fallback")) fallback.hidden = true;
}

function valueOf(field: HTMLInputElement | HTMLSelectElement): string {
  return field instanceof HTMLInputElement && field.type === "checkbox" ? (field.checked ? "1" : "") : field.value;
}

/** Fields as the URL has them; values that a list does not have are dropped. */
function restore(fields: readonly (HTMLInputElement | HTMLSelectElement)[]): void {
  const asked = new URLSearchParams(query());
  for (const field of fields) {
    const value = asked.get(field.name);
    if (value === null) continue;
    if (field instanceof HTMLInputElement && field.type === "checkbox") field.checked = value === "1";
    else if (field instanceof HTMLInputElement || [...field.options].some((option) => option.value === value))
      field.value = value;
  }
}

function constraints(get: (name: string) => string): Constraints {
  return {
    hardware: get("hardware") as Hardware,
    commercial: get("license") === "commercial",
    tokens: Number(get("tokens")) || 0,
    api: get("api") === "1",
    index: Number(get("index")) || 0,
    precision: get("precision") as Precision,
  };
}

function render(result: HTMLElement, site: SiteData, board: BoardData, wanted: Constraints, axis: Axis): void {
  const scored = board.rows.slice(0, board.n_ranked).filter((row) => row.score !== null);
  const better = decidedPairs(board);
  const choices = scored.map((row, index): Choice => {
    const model = site.models[row.model]!;
    const reasons = requirements(model, wanted);
    const price = cost(model, axis, wanted.precision);
    return { row, index, model, reasons, fit: fits(reasons), cost: price, place: null };
  });
  const fit = choices.filter((own) => own.fit === true);
  pareto(fit, better).forEach((place, number) => (fit[number]!.place = place));
  const unknown = choices.filter((own) => own.fit === null);
  const out = choices.filter((own) => own.fit === false);
  const kept = fit.filter((own) => own.place === "front" || own.place === "tied");
  const unscored = board.rows.length - scored.length;
  result.replaceChildren(
    el(
      "p",
      {},
      `${t("choose_count", fit.length, unknown.length, out.length)}${unscored > 0 ? ` ${t("choose_unscored", unscored)}` : ""}`,
    ),
    ...(fit.length === 0
      ? [el("p", { class: "empty" }, t("choose_nothing"))]
      : [el("p", {}, firstText(fit, better))]),
    ...drawing(fit, axis),
    ...(kept.length > 0
      ? [
          el("h2", {}, t("choose_front")),
          el("p", {}, t("choose_front_note")),
          listed(t("choose_front"), kept, axis, true),
        ]
      : []),
    ...folded(
      "choose_costless",
      fit.filter((own) => own.place === null),
      axis,
      kept.length === 0,
    ),
    ...folded(
      "choose_beaten",
      fit.filter((own) => own.place === "beaten"),
      axis,
    ),
    ...folded("choose_unknown", unknown, axis),
    ...folded("choose_out", out, axis),
  );
}

/** The first group of what fits, or, where nothing was tested, the highest score. */
function firstText(fit: readonly Choice[], better: Better | null): string {
  if (better === null) {
    const highest = [...fit].sort((a, b) => b.row.score! - a.row.score!)[0]!;
    return t("choose_untested", highest.row.label);
  }
  const labels = firstGroup(fit, better).map((own) => own.row.label);
  return t("choose_best", labels.length, labels.slice(0, 8).join(", ") + (labels.length > 8 ? ", …" : ""));
}

function drawing(fit: readonly Choice[], axis: Axis): HTMLElement[] {
  const points = fit.flatMap((own): Point[] =>
    own.place === null || !own.cost
      ? []
      : [
          {
            label: own.row.label,
            x: axis === "latency" ? own.cost * 1000 : own.cost,
            score: own.row.score!,
            low: own.row.low,
            high: own.row.high,
            place: own.place,
          },
        ],
  );
  return points.length > 1 ? [scatter(t("scatter"), t("scatter_note"), points, t(`axis_${axis}`))] : [];
}

function folded(title: Text, choices: readonly Choice[], axis: Axis, open = false): HTMLElement[] {
  if (choices.length === 0) return [];
  return [
    el(
      "details",
      open ? { open: true } : {},
      el("summary", {}, `${t(title)} (${choices.length})`),
      listed(t(title), choices, axis, open),
    ),
  ];
}

/** A table of models with what speaks for and against each; with code where asked. */
function listed(title: string, choices: readonly Choice[], axis: Axis, withCode: boolean): HTMLElement {
  const heads = [
    t("model"),
    t("score"),
    t("rank"),
    t(`axis_${axis}`),
    t("place"),
    t("reasons"),
    ...(withCode ? [t("code")] : []),
  ];
  const rows = choices.map((own) =>
    el(
      "tr",
      own.place ? { class: own.place } : {},
      el(
        "th",
        { scope: "row", dir: "auto" },
        el("a", { href: page(`model/${encodeURIComponent(own.model.slug)}.html`) }, own.row.label),
        ...sourceOf(own.row),
      ),
      el(
        "td",
        { class: "num" },
        points(own.row.score),
        ...(own.row.low !== null && own.row.high !== null
          ? [" ", el("span", { class: "pm" }, plusMinus(own.row.low, own.row.high))]
          : []),
      ),
      el("td", { class: "num" }, span(own.row.rank_low ?? own.row.rank, own.row.rank_high ?? own.row.rank)),
      el("td", { class: "num" }, costText(own, axis)),
      el("td", {}, own.place === null ? "" : t(own.place)),
      el("td", {}, reasons(own)),
      ...(withCode ? [el("td", {}, codeOf(own.model))] : []),
    ),
  );
  const head = el("tr", {}, ...heads.map((text) => el("th", { scope: "col" }, text)));
  const table = el(
    "table",
    { class: "plain chosen" },
    el("caption", { class: "visually-hidden" }, title),
    el("thead", {}, head),
    el("tbody", {}, ...rows),
  );
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": title }, table);
}

function costText(own: Choice, axis: Axis): string {
  if (own.cost === null) return t("unknown");
  return axis === "params" ? count(own.cost) : short(axis === "latency" ? own.cost * 1000 : own.cost);
}

const SIGNS = new Map<boolean | null, string>([
  [true, "✓"],
  [false, "✕"],
  [null, "?"],
]);

function reasons(own: Choice): HTMLElement {
  const lines = own.reasons.map((reason) =>
    el(
      "li",
      { class: reason.ok === null ? "unknown" : reason.ok ? "ok" : "broken" },
      `${SIGNS.get(reason.ok)} ${reasonText(reason)}`,
    ),
  );
  if (own.model.truncate_dims.length > 0) lines.push(el("li", {}, t("shorter", own.model.truncate_dims.join(", "))));
  return el("ul", { class: "reasons" }, ...lines);
}

function reasonText(reason: Reason): string {
  const value = reason.values[0];
  if (reason.text === "tokens" && reason.ok === true && value === undefined) return t("why_unlimited");
  if (reason.text === "api" && reason.ok === null) return `${t("why_open")}: ${t("unknown")}`;
  const said =
    value === undefined || value === ""
      ? t("unknown")
      : typeof value === "string"
        ? value
        : reason.text === "params_cpu"
          ? count(value)
          : short(value);
  return t(`why_${reason.text}`, said);
}

/** Code with the right prompts, read when opened. */
function codeOf(model: ModelData): HTMLElement {
  const details = el("details", { class: "snippets" }, el("summary", {}, t("code")));
  const fill = async (): Promise<void> => {
    try {
      const found = (await load("snippets")).models[model.slug] ?? [];
      details.append(
        ...(found.length > 0
          ? found.map((snippet) => codeBlock(snippet.code, snippet.name))
          : [el("p", {}, t("no_code"))]),
      );
    } catch (error) {
      details.append(el("p", {}, (error as Error).message));
    }
  };
  details.addEventListener("toggle", () => void fill(), { once: true });
  return details;
}
