// Starts what the page has. Pages are complete without this script; a failure is said, never a blank page.
import { startChoose } from "./choose_page";
import { startCompare } from "./compare_page";
import { notice } from "./dom";
import { speak, t } from "./i18n";
import { listen, load } from "./load";
import { startPlain } from "./plain";
import type { SiteData } from "./schema";
import { startBoard } from "./table";
import { startLanguage, startTheme } from "./theme";

const PAGES: Record<string, (site: SiteData) => Promise<void>> = {
  board: startBoard,
  choose: startChoose,
  compare: startCompare,
};

async function start(): Promise<void> {
  speak(document.documentElement.lang);
  document.documentElement.dataset["js"] = "";
  startTheme();
  startLanguage();
  startPlain();
  const page = PAGES[document.body.dataset["page"] ?? ""];
  if (!page) return;
  try {
    await page(await load("site"));
  } catch (error) {
    notice(t("failed", error instanceof Error ? error.message : String(error)));
  }
}

listen();
// Data scripts are deferred too: all have run, or failed, when the document is ready.
if (document.readyState === "complete") void start();
else document.addEventListener("DOMContentLoaded", () => void start());
