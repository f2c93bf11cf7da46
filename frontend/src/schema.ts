// Written by tools/site_types.py from src/kemb/publishing/site/schema.py; do not edit.
export const SCHEMA_VERSION = 1;

/** One board: complete rows in order, then those below the line. */
export interface BoardData {
  schema_version: number;
  slug: string;
  title: Named;
  groups: GroupData[];
  cells: CellData[];
  rows: RowData[];
  n_ranked: number;
  mode: "items" | "tasks" | "none";
  level: number;
  zone: number;
  better: string;
}

/** A board of the site. */
export interface BoardRef {
  slug: string;
  title: Named;
  href: string;
  n_ranked: number;
  n_rows: number;
}

/** What lies behind a number. */
export interface Card {
  row: number;
  cell: number;
  value: number;
  low: number | null;
  high: number | null;
  metric: string;
  model_revision: string;
  dataset_revision: string;
  data_sha256: string[];
  n_items: number | null;
  prompts: PromptData[] | null;
  max_tokens: number | null;
  lengths: LengthData[];
  dtype: string;
  similarity: string;
  versions: Record<string, string>;
  hardware: string;
  encode_seconds: number | null;
  from_store: boolean;
  score_seconds: number | null;
  date: string;
  command: string;
  source: string;
  url: string;
  commit: string;
  others: OtherValue[];
}

/** The cards of a board. */
export interface CardData {
  slug: string;
  cards: Card[];
}

/** A column: one task under one metric. */
export interface CellData {
  title: string;
  task: string;
  slug: string;
  group: number;
  weight: number;
  metric: string;
  has_items: boolean;
}

/** What a measured row costs beside its scores; null or '' where nothing is recorded. */
export interface CostData {
  family: string;
  n_parameters: number | null;
  index_bytes_per_document: number | null;
  tokens_per_1000_korean: number | null;
  truncated: number | null;
  texts_per_second: number | null;
  tokens_per_second: number | null;
  encode_seconds: number | null;
  hardware: string;
  from_store: boolean;
  usd: number | null;
  price: string;
}

/** A group of tasks. */
export interface GroupData {
  key: string;
  title: Named;
  weight: number;
}

/** Items of one task. */
export interface ItemData {
  slug: string;
  task: string;
  meaning: Named;
  parts: ItemPart[];
  n_left_out: number;
}

/** Items of one (split, subset): how well each measured row does on each. */
export interface ItemPart {
  split: string;
  subset: string;
  ids: string[];
  texts: string[];
  values: Record<string, number[]>;
}

/** The lengths of one column of a task's texts (queries, documents, ...), in tokens. */
export interface LengthData {
  column: string;
  n_texts: number;
  n_truncated: number | null;
  longest: number;
}

/** Facts of a model; null or '' where nothing is known. */
export interface ModelData {
  slug: string;
  name: string;
  kind: string;
  n_parameters: number | null;
  dim: number | null;
  truncate_dims: number[];
  max_tokens: number | null;
  license: string;
  license_class: string;
  open_weights: boolean | null;
  needs_prompt: boolean | null;
  released: string;
  texts_per_second: number | null;
  hardware: string;
}

/** A text that readers see. */
export interface Named {
  ko: string;
  en: string;
}

/** The same cell by another source. */
export interface OtherValue {
  source: string;
  value: number;
  href: string;
}

/** What is put before the texts of one role. */
export interface PromptData {
  role: string;
  prompt: string;
  route: string;
  source: string;
}

/** Resamples of a board: of items, or of tasks. */
export interface ReplicateData {
  slug: string;
  mode: "items" | "tasks";
  n_replicates: number;
  scale: number;
  strata: number[];
  values: string;
}

/** A row of a board; `tr[data-row]` holds its place in `rows`. */
export interface RowData {
  id: string;
  model: number;
  label: string;
  mark: string;
  source: string;
  rank: number | null;
  rank_low: number | null;
  rank_high: number | null;
  score: number | null;
  low: number | null;
  high: number | null;
  win_rate: number | null;
  cells: (number | null)[];
  groups: (number | null)[];
  cut: number[];
  cost: CostData | null;
}

/** What every page needs. */
export interface SiteData {
  schema_version: number;
  title: Named;
  boards: BoardRef[];
  models: ModelData[];
  snapshots: SnapshotRef[];
}

/** An older state of the boards, readable at `at/<id>/<board slug>.html`. */
export interface SnapshotRef {
  id: string;
  date: string;
  boards: string[];
}

/** Code to copy. */
export interface Snippet {
  name: string;
  code: string;
}

/** Model slug -> snippets. */
export interface SnippetData {
  models: Record<string, Snippet[]>;
}
