// Rank, score and interval of rows in the table: as published, or as other weights make them.
import { one, svg } from "./dom";
import { plusMinus, points, span } from "./format";
import type { Standing } from "./weights";
import type { View } from "./table";

/** What the server wrote in the two cells of a row; put back when the weights are those of the formula. */
const written = new WeakMap<HTMLTableCellElement, Node[]>();

export function showStandings(view: View, standings: Standing[] | null): void {
  view.table.classList.toggle("reweighted", standings !== null);
  const lows = standings?.map((own) => own.low ?? own.score ?? 0) ?? [];
  const highs = standings?.map((own) => own.high ?? own.score ?? 0) ?? [];
  const scale: [number, number] = [Math.min(...lows), Math.max(...highs)];
  for (const line of view.lines.values()) {
    const place = Number(line.dataset["row"]);
    if (place >= view.board.n_ranked) continue;
    const [rank, score] = [cellOf(line, "rank"), cellOf(line, "score")];
    if (rank) keep(rank);
    if (score) keep(score);
    const standing = standings?.[place];
    if (!standing) continue;
    if (rank) showRank(rank, standing, view.board.n_ranked);
    if (score) showScore(score, standing, scale);
  }
}

function cellOf(line: HTMLTableRowElement, column: string): HTMLTableCellElement | null {
  return one<HTMLTableCellElement>(`[data-col="${column}"]`, line);
}

/** Remembers the server's nodes, or puts copies of them back; the pin button stays the one that is there. */
function keep(cell: HTMLTableCellElement): void {
  const nodes = written.get(cell);
  const pin = one("button.pin", cell);
  if (!nodes)
    written.set(
      cell,
      [...cell.childNodes].filter((node) => node !== pin).map((node) => node.cloneNode(true)),
    );
  else cell.replaceChildren(...nodes.map((node) => node.cloneNode(true)), ...(pin ? [pin] : []));
}

function showRank(cell: HTMLTableCellElement, standing: Standing, n: number): void {
  const text = one(".rank", cell);
  if (text) text.textContent = span(standing.rankLow, standing.rankHigh);
  const bar = one("svg.bar rect.span", cell);
  if (!bar || standing.rankLow === null || standing.rankHigh === null) return;
  bar.setAttribute("x", (((standing.rankLow - 1) / n) * 100).toFixed(2));
  bar.setAttribute("width", (((standing.rankHigh - standing.rankLow + 1) / n) * 100).toFixed(2));
}

function showScore(cell: HTMLTableCellElement, standing: Standing, [from, to]: [number, number]): void {
  const text = one(".score", cell);
  if (text) text.textContent = points(standing.score);
  const width = one(".pm", cell);
  const known = standing.low !== null && standing.high !== null;
  if (width) width.textContent = known ? plusMinus(standing.low!, standing.high!) : "";
  const at = (value: number): number => ((value - from) / (to - from || 1)) * 100;
  const figure =
    known && standing.score !== null
      ? [
          svg("line", { x1: at(standing.low!).toFixed(1), x2: at(standing.high!).toFixed(1), y1: 5, y2: 5 }),
          svg("rect", { x: (at(standing.score) - 1).toFixed(1), y: 1, width: 2, height: 8 }),
        ]
      : [];
  one("svg.forest", cell)?.replaceChildren(...figure);
}
