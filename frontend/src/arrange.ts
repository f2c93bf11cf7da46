// Puts table rows in order. Layout of moved rows is what costs: rows that stay are not touched, and many moved ones
// come in parts, those on the screen first.

/** Rows that are laid out at once. */
const PART = 48;
let latest = 0;

/** Gives every body its rows in order; of many moved rows the last ones follow in the next frames. */
export function arrange(bodies: readonly [HTMLElement, readonly HTMLElement[]][]): void {
  const own = ++latest;
  const moved = bodies.reduce((sum, [body, wanted]) => sum + nMoved([...body.children], wanted), 0);
  if (moved <= PART) {
    for (const [body, wanted] of bodies) place(body, wanted);
    return;
  }
  let shown = PART;
  const next = (): void => {
    let left = shown;
    for (const [body, wanted] of bodies) {
      place(body, wanted.slice(0, left));
      left = Math.max(0, left - wanted.length);
    }
    if (bodies.every(([body, wanted]) => body.children.length === wanted.length)) return;
    shown += PART;
    requestAnimationFrame(() => setTimeout(() => own === latest && next()));
  };
  next();
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

function place(body: HTMLElement, wanted: readonly HTMLElement[]): void {
  const kept = new Set<Element>(wanted);
  const gone = [...body.children].filter((node) => !kept.has(node));
  if (gone.length === body.children.length) return body.replaceChildren(...wanted);
  for (const node of gone) node.remove();
  let cursor = body.firstElementChild;
  for (const node of wanted) {
    if (node === cursor) cursor = cursor.nextElementSibling;
    else body.insertBefore(node, cursor);
  }
}
