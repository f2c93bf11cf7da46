// Puts table rows in order. Layout of moved rows is what costs: rows that stay are not touched, and many moved ones
// come in parts, those on the screen first.

/** Rows that are laid out at once. */
const PART = 40;
let latest = 0;

/** Gives every body its rows in order; of many moved rows the last ones follow in the next frames, if not `atOnce`. */
export function arrange(bodies: readonly [HTMLElement, readonly HTMLElement[]][], atOnce = false): void {
  const own = ++latest;
  const moved = bodies.reduce((sum, [body, wanted]) => sum + nMoved([...body.children], wanted), 0);
  if (atOnce || moved <= PART) {
    for (const [body, wanted] of bodies) place(body, wanted);
    return;
  }
  let left = PART;
  const rest: [HTMLElement, HTMLElement][] = [];
  for (const [body, wanted] of bodies) {
    body.replaceChildren(...wanted.slice(0, left)); // at once: one by one takes several times as long
    for (const node of wanted.slice(left)) rest.push([body, node]);
    left = Math.max(0, left - wanted.length);
  }
  const next = (): void => {
    if (own !== latest) return;
    for (const [body, node] of rest.splice(0, PART)) body.append(node);
    if (rest.length > 0) later(next);
  };
  if (rest.length > 0) later(next);
}

function later(next: () => void): void {
  requestAnimationFrame(() => setTimeout(next));
}

/** How many rows a walk along both lists has to move; those that go are not counted. */
export function nMoved<T>(now: readonly T[], wanted: readonly T[]): number {
  const kept = new Set(wanted);
  const stay = now.filter((node) => kept.has(node));
  const moved = new Set<T>();
  let at = 0;
  for (const node of wanted) {
    while (at < stay.length && moved.has(stay[at]!)) at++;
    if (node === stay[at]) at++;
    else moved.add(node);
  }
  return moved.size;
}

/** Moves only the rows that are not in their places. */
function place(body: HTMLElement, wanted: readonly HTMLElement[]): void {
  const kept = new Set<Element>(wanted);
  const gone = [...body.children].filter((node) => !kept.has(node));
  if (gone.length > PART) return body.replaceChildren(...wanted);
  for (const node of gone) node.remove();
  let cursor = body.firstElementChild;
  for (const node of wanted) {
    if (node === cursor) cursor = cursor.nextElementSibling;
    else body.insertBefore(node, cursor);
  }
}
