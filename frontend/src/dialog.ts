// The card of a cell: everything that lies behind one number.
import { codeBlock, el } from "./dom";
import { NONE, points, short, signed } from "./format";
import { t } from "./i18n";
import { load } from "./load";
import type { BoardData, Card, OtherValue } from "./schema";

/** Opens the card of a cell; where there is none, follows its link. */
export async function openCard(board: BoardData, row: number, cell: number, link: HTMLAnchorElement): Promise<void> {
  let card: Card | undefined;
  try {
    card = (await load(`cards-${board.slug}`)).cards.find((own) => own.row === row && own.cell === cell);
  } catch {
    card = undefined;
  }
  if (!card) {
    location.href = link.href;
    return;
  }
  const close = el("button", { type: "button", class: "close" }, t("close"));
  const dialog = el(
    "dialog",
    { class: "card", "aria-labelledby": "card-title" },
    el(
      "header",
      {},
      el("h2", { id: "card-title", dir: "auto" }, `${board.rows[row]!.label} · ${board.cells[cell]!.title}`),
      close,
    ),
    valueLine(card, board),
    facts(card),
    ...(card.command ? [codeBlock(card.command, t("command"))] : []),
    ...others(card, () => dialog.close()),
    el("p", {}, el("a", { href: link.href }, t("card_task"))),
  );
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close()); // the backdrop
  dialog.addEventListener("close", () => {
    dialog.remove();
    link.focus();
  });
  document.body.append(dialog);
  dialog.showModal();
}

function valueLine(card: Card, board: BoardData): HTMLElement {
  const known = card.low !== null && card.high !== null;
  const range = known ? `${t("interval", Math.round(board.level * 100))} ${points(card.low)}–${points(card.high)}` : "";
  return el(
    "p",
    { class: "value" },
    el("strong", {}, points(card.value)),
    ` ${card.metric} `,
    el("span", { class: "pm" }, range),
  );
}

function facts(card: Card): HTMLElement {
  const list = el("dl");
  const add = (name: string, value: string | Node): void => {
    if (value !== "") list.append(el("dt", {}, name), el("dd", { dir: "auto" }, value));
  };
  const source = card.source ? t("claimed", card.source) : t("measured");
  add(t("source"), /^https?:\/\//.test(card.url) ? el("a", { href: card.url, rel: "noopener" }, source) : source);
  add(t("commit"), card.commit);
  add(t("model_revision"), card.model_revision || t("not_recorded"));
  add(t("dataset_revision"), card.dataset_revision || t("not_recorded"));
  add(t("data_hash"), card.data_sha256.join(" "));
  add(t("items"), card.n_items === null ? "" : card.n_items.toLocaleString("en"));
  add(t("prompts"), prompts(card));
  add(t("max_tokens"), card.max_tokens === null ? t("not_recorded") : String(card.max_tokens));
  add(t("truncated"), lengths(card));
  add(t("dtype"), card.dtype);
  add(t("similarity"), card.similarity);
  add(
    t("versions"),
    Object.entries(card.versions)
      .map((pair) => pair.join(" "))
      .join(", "),
  );
  add(t("hardware"), card.hardware);
  if (card.encode_seconds !== null || card.score_seconds !== null) {
    const [encode, score] = [card.encode_seconds, card.score_seconds].map((own) => (own === null ? NONE : short(own)));
    add(t("seconds"), card.from_store ? t("seconds_stored", score!) : t("seconds_value", encode!, score!));
  }
  add(t("date"), card.date);
  return list;
}

/** How many texts of each column were cut. */
function lengths(card: Card): string {
  return card.lengths
    .map(({ column, n_texts, n_truncated, longest }) =>
      t("truncated_value", column, n_truncated === null ? NONE : n_truncated, n_texts, longest),
    )
    .join("; ");
}

function prompts(card: Card): string | Node {
  if (card.prompts === null) return t("prompts_unknown");
  if (card.prompts.length === 0) return t("prompts_none");
  const lines = card.prompts.map((own) =>
    el(
      "li",
      {},
      `${own.role}${own.route ? ` (${own.route})` : ""}: `,
      own.prompt ? el("code", { class: "prompt" }, own.prompt) : t("prompt_empty"),
      own.source ? ` · ${own.source}` : "",
    ),
  );
  return el("ul", {}, ...lines);
}

function others(card: Card, close: () => void): HTMLElement[] {
  if (card.others.length === 0) return [];
  const rows = card.others.map((other) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, otherLink(other, close)),
      el("td", { class: "num" }, points(other.value)),
      el("td", { class: "num" }, signed(other.value - card.value)),
    ),
  );
  const head = el(
    "tr",
    {},
    ...[t("source"), t("value"), t("difference")].map((text) => el("th", { scope: "col" }, text)),
  );
  return [
    el("table", { class: "plain" }, el("caption", {}, t("others")), el("thead", {}, head), el("tbody", {}, ...rows)),
  ];
}

/** To another row of this page, or away; plain text where neither is meant. */
function otherLink(other: OtherValue, close: () => void): string | HTMLElement {
  if (!/^(#|https?:\/\/)/.test(other.href)) return other.source;
  const link = el("a", { href: other.href, rel: "noopener" }, other.source);
  link.addEventListener("click", close);
  return link;
}
