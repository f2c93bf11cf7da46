// Elements without HTML strings: text stays text, whatever names hold.
import { t } from "./i18n";

type Child = Node | string;
type Properties = Record<string, string | number | boolean>;

/** An element with attributes (true: present, false: absent) and children. */
export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Properties = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  fill(element, attributes, children);
  return element;
}

/** The same for figures. */
export function svg<K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Properties = {},
  ...children: Child[]
): SVGElementTagNameMap[K] {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  fill(element, attributes, children);
  return element;
}

function fill(element: Element, attributes: Properties, children: Child[]): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false) element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children);
}

export function one<T extends Element>(selector: string, within: ParentNode = document): T | null {
  return within.querySelector<T>(selector);
}

export function all<T extends Element>(selector: string, within: ParentNode = document): T[] {
  return [...within.querySelectorAll<T>(selector)];
}

/** Shows what needs the script. */
export function unhide(...elements: (Element | null)[]): void {
  for (const element of elements) element?.removeAttribute("hidden");
}

/** A message in the page, below the controls; empty: no message. */
export function notice(text: string, ...more: Node[]): void {
  let place = one<HTMLElement>("#notice");
  if (!place) {
    place = el("p", { id: "notice", class: "notice", role: "status" });
    (one("main") ?? document.body).prepend(place);
  }
  place.replaceChildren(text, ...more);
  place.hidden = text === "";
}

/** Copies a text and says so on the button. */
export async function copy(text: string, button: HTMLElement): Promise<void> {
  const said = (button.dataset["label"] ??= button.textContent ?? "");
  try {
    await toClipboard(text);
    button.textContent = t("copied");
  } catch {
    button.textContent = t("copy_failed");
  }
  setTimeout(() => (button.textContent = said), 1500);
}

async function toClipboard(text: string): Promise<void> {
  if (navigator.clipboard && window.isSecureContext) {
    try {
      return await navigator.clipboard.writeText(text);
    } catch {
      // Some browsers refuse it on file://; the old way is left.
    }
  }
  const area = el("textarea", { class: "visually-hidden", "aria-hidden": "true" });
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (!done) throw new Error("copy");
}

/** A block of code with its button. */
export function codeBlock(code: string, title = ""): HTMLElement {
  const button = el("button", { type: "button", class: "copy" }, t("copy"));
  button.addEventListener("click", () => void copy(code, button));
  return el(
    "div",
    { class: "code" },
    ...(title ? [el("h3", {}, title)] : []),
    button,
    el("pre", { tabindex: 0 }, el("code", {}, code)),
  );
}

/** Address of a page of this language, and of a file of the site. */
export function page(path: string): string {
  return (document.documentElement.dataset["pages"] ?? "") + path;
}

export function file(path: string): string {
  return (document.documentElement.dataset["root"] ?? "") + path;
}

/** The query of the address; where a page cannot write it (some browsers on file://) it stands behind "#?". */
export function query(): string {
  return location.search || (location.hash.startsWith("#?") ? location.hash.slice(1) : "");
}

/** Writes the query without a new entry in the history. */
export function setQuery(text: string): void {
  const anchor = location.hash.startsWith("#?") ? "" : location.hash;
  try {
    history.replaceState(null, "", (text || location.pathname) + anchor);
  } catch {
    location.hash = text;
  }
}
