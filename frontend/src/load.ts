// Data scripts: each calls `kembData("<name>", {...})`. Those that a page does not have are added when asked for.
import { el, file } from "./dom";
import { t } from "./i18n";
import {
  SCHEMA_VERSION,
  type BoardData,
  type CardData,
  type ItemData,
  type ReplicateData,
  type SiteData,
  type SnippetData,
} from "./schema";

interface Scripts {
  site: SiteData;
  snippets: SnippetData;
  [board: `board-${string}`]: BoardData;
  [draws: `draws-${string}`]: ReplicateData;
  [cards: `cards-${string}`]: CardData;
  [items: `items-${string}`]: ItemData;
}

const arrived = new Map<string, unknown>();
const asked = new Map<string, Promise<unknown>>();

/** Must be called before any data script runs. */
export function listen(): void {
  Object.assign(window, { kembData: (name: string, data: unknown) => void arrived.set(name, data) });
}

/** The data of a script, loaded once. Errors are sentences for the reader. */
export function load<K extends keyof Scripts & string>(name: K): Promise<Scripts[K]> {
  let promise = asked.get(name);
  if (!promise) {
    promise = fromScript(name).catch((error: unknown) => {
      asked.delete(name); // another click tries again
      throw error;
    });
    asked.set(name, promise);
  }
  return promise as Promise<Scripts[K]>;
}

async function fromScript(name: string): Promise<unknown> {
  if (!arrived.has(name)) {
    const path = `data/${encodeURIComponent(name)}.js`;
    await new Promise<void>((resolve, reject) => {
      const script = el("script", { src: file(path) });
      script.onload = () => (arrived.has(name) ? resolve() : reject(new Error(t("no_data", path))));
      script.onerror = () => {
        script.remove();
        reject(new Error(t("no_data", path)));
      };
      document.head.append(script);
    });
  }
  const data = arrived.get(name) as { schema_version?: number };
  const version = data.schema_version;
  if (version !== undefined && version !== SCHEMA_VERSION) throw new Error(t("other_version", version, SCHEMA_VERSION));
  return data;
}
