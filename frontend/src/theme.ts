// Light and dark, and the way to the other language with what was chosen on this page.
import { one, query, unhide } from "./dom";
import { t } from "./i18n";

const THEMES = ["auto", "light", "dark"] as const;
type Theme = (typeof THEMES)[number];
const KEY = "kemb-theme";

export function startTheme(): void {
  const button = one<HTMLButtonElement>("#theme");
  if (!button) return;
  let theme = stored();
  show(button, theme);
  unhide(button);
  button.addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length]!;
    show(button, theme);
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      // Not every browser stores anything for file://; the theme then holds for this page.
    }
  });
}

function stored(): Theme {
  try {
    const value = localStorage.getItem(KEY);
    return THEMES.find((theme) => theme === value) ?? "auto";
  } catch {
    return "auto";
  }
}

function show(button: HTMLElement, theme: Theme): void {
  if (theme === "auto") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = theme;
  button.textContent = t("theme", t(theme));
}

export function startLanguage(): void {
  const link = one<HTMLAnchorElement>("#language");
  if (!link) return;
  const plain = link.getAttribute("href") ?? "";
  const follow = (): void => link.setAttribute("href", plain + query());
  // Before the click, so that a new tab gets it too.
  for (const event of ["pointerdown", "focus", "click"]) link.addEventListener(event, follow);
}
