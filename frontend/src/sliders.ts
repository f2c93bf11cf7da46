// Sliders for the shares of the groups; scores, intervals and rank sets follow.
import { el, notice, one } from "./dom";
import { named, t } from "./i18n";
import { load } from "./load";
import type { ReplicateData } from "./schema";
import type { View } from "./table";
import { cellWeights, recomputed, shares } from "./weights";

interface Pair {
  key: string;
  /** Share in the formula, in percent. */
  share: number;
  line: HTMLElement;
  slider: HTMLInputElement;
  number: HTMLInputElement;
}

export async function startWeights(view: View): Promise<void> {
  const place = one<HTMLDetailsElement>("#weights");
  const { board, state } = view;
  const known = board.groups.map((group) => group.key);
  state.weights = Object.fromEntries(Object.entries(state.weights).filter(([key]) => place && known.includes(key)));
  if (!place) return;
  const said = el("p", { class: "hint", "aria-live": "polite" }, t("weights_note"));
  const reset = el("button", { type: "button" }, t("weights_reset"));
  const pairs = shares(board).map((share, group) =>
    pairOf(board.groups[group]!.key, named(board.groups[group]!.title), share),
  );
  place.append(el("div", { class: "panel" }, ...pairs.map((pair) => pair.line), said, reset));
  let draws: ReplicateData | null = null;
  const apply = (): void => said.replaceChildren(reweigh(view, draws));
  const show = (): void => pairs.forEach((pair) => setPair(pair, state.weights[pair.key] ?? pair.share));
  const ready = once(async () => {
    if (board.mode === "none") return;
    said.textContent = t("weights_loading");
    try {
      draws = await load(`draws-${board.slug}`);
    } catch (error) {
      notice((error as Error).message);
    }
    said.textContent = t("weights_note");
  });
  let frame = 0;
  const changed = (pair: Pair, value: number): void => {
    setPair(pair, value);
    if (Math.abs(value - pair.share) < 0.05) delete state.weights[pair.key];
    else state.weights[pair.key] = value;
    window.clearTimeout(frame);
    frame = window.setTimeout(() => void ready().then(apply), 40);
  };
  for (const pair of pairs) {
    for (const input of [pair.slider, pair.number]) {
      input.addEventListener("input", () => {
        const value = input.valueAsNumber;
        if (value >= 0 && value <= 100) changed(pair, value);
      });
    }
  }
  reset.addEventListener("click", () => {
    state.weights = {};
    show();
    apply();
  });
  one("#controls")?.addEventListener("kemb-reset", show);
  place.addEventListener("toggle", () => place.open && void ready());
  show();
  if (Object.keys(state.weights).length === 0) return;
  place.open = true;
  await ready();
  apply();
}

/** Shows the board under the chosen weights; returns what to say about it. */
function reweigh(view: View, draws: ReplicateData | null): string {
  const { board, state } = view;
  if (Object.keys(state.weights).length === 0) {
    notice("");
    view.restand(null);
    return t("weights_note");
  }
  const weights = cellWeights(board, state.weights);
  if (weights === null) {
    view.update();
    return t("weights_zero");
  }
  const { standings, nUsed } = recomputed(board, weights, draws);
  view.restand(standings);
  notice(t("weights_now"));
  if (draws === null) return t("weights_none");
  return nUsed < draws.n_replicates ? t("weights_fewer", draws.n_replicates, nUsed) : t("weights_used", nUsed);
}

function pairOf(key: string, title: string, share: number): Pair {
  const slider = el("input", { type: "range", min: 0, max: 100, step: 1, "aria-label": title });
  const number = el("input", { type: "number", min: 0, max: 100, step: 0.1, "aria-label": `${title} %` });
  const line = el("div", { class: "weight" }, el("span", {}, title), slider, number);
  return { key, share, line, slider, number };
}

function setPair(pair: Pair, value: number): void {
  const text = String(Number(value.toFixed(1)));
  if (pair.slider.valueAsNumber !== Number(text)) pair.slider.value = text;
  if (pair.number.valueAsNumber !== Number(text)) pair.number.value = text;
}

function once(start: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | null = null;
  return () => (running ??= start());
}
