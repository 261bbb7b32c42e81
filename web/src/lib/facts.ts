// What the service answers.

import type { PageName } from "./address";
import type { HeadClusters } from "./clusters";
import type { Measure } from "./measures";

export interface Offer {
  models: string[];
  text: string;
  targetText: string;
  /** Links of the words of the two texts, and clusters of the first model's heads, that were given at the start. */
  gold?: string;
  clusters?: HeadClusters | null;
  /** Whether the page is a file with its data inside. */
  isFile?: boolean;
  /** What a file has: its views, the splits of what the model says, and the layers by which words are linked. */
  pages?: PageName[];
  splits?: StoredSplit[];
  alignLayers?: number[];
}

/** Method, place (null: what comes next), the token that is said instead, and the one whose logit is subtracted. */
export type StoredSplit = [method: string, place: number | null, token: string, against: string];

export interface RunState {
  run: string;
  state: "waiting" | "loading" | "running" | "done" | "failed" | "cancelled";
  message: string;
  done: number;
  total: number;
  seconds: number;
}

export interface Token {
  text: string;
  category: "special" | "punctuation" | "other";
  joined: boolean;
}

export interface Shares {
  weight: (number | null)[];
  norm: (number | null)[];
}

export interface Group {
  name: string;
  crossed: boolean;
  causal: boolean;
  layers: number[];
  heads: number[];
  targets: Token[];
  sources: Token[];
  scopes: { name: string; label: string; formula: string }[];
  headMeasures: Measure[];
  sumMeasures: Measure[];
  rowEdges: number[];
  columnEdges: number[];
  amount: (number | null)[];
  shares: Record<string, Shares>;
  layerShares: Record<string, Shares>;
}

export interface OverviewFacts {
  run: string;
  model: string;
  revision: string;
  dtype: string;
  normlens: string;
  text: string;
  targetText: string;
  seconds: number | null;
  /** Whether a file holds all maps. */
  isWhole?: boolean;
  groups: Group[];
}

/** A head of a group, at its place in the flat lists of the overview. */
export interface Head {
  place: number;
  layer: number;
  head: number;
  weight: number | null;
  norm: number | null;
  amount: number | null;
}

export function headsOf(group: Group, statistic: string): Head[] {
  const shares = group.shares[statistic];
  const heads: Head[] = [];
  group.layers.forEach((layer, row) => {
    for (let head = 0; head < group.heads[row]!; head += 1) {
      const place = heads.length;
      heads.push({
        place,
        layer,
        head,
        weight: shares?.weight[place] ?? null,
        norm: shares?.norm[place] ?? null,
        amount: group.amount[place] ?? null,
      });
    }
  });
  return heads;
}

/** The head whose share of weight exceeds its share of norm most. */
export function emptiest(heads: Head[]): Head | null {
  const gap = (head: Head) => (head.weight ?? 0) - (head.norm ?? 0);
  return heads.reduce<Head | null>((best, head) => (!best || gap(head) > gap(best) ? head : best), null);
}

/** The height below the diagonal, as a share of norm, near which fewest heads with much weight lie. */
export function emptiestHeight(heads: Head[]): number {
  const crowd = (height: number) => heads.filter((head) => (head.weight ?? 0) > 0.45 && Math.abs((head.norm ?? 0) - height) < 0.05).length;
  return [0.4, 0.3, 0.2, 0.1, 0.02].reduce((best, height) => (crowd(height) < crowd(best) ? height : best));
}

/** Sources in which sinks are: the first token and the special ones. */
export const leftOut = (sources: Token[]): boolean[] =>
  sources.map((token, place) => place === 0 || token.category === "special");

export const mean = (numbers: (number | null)[]): number => {
  const finite = numbers.filter((number): number is number => number !== null && Number.isFinite(number));
  return finite.reduce((sum, number) => sum + number, 0) / finite.length;
};

export function percent(share: number | null | undefined): string {
  if (share === null || share === undefined || !Number.isFinite(share)) return "–";
  const size = 100 * Math.abs(share);
  return `${share < 0 ? "−" : ""}${size >= 0.05 && size < 9.95 ? size.toFixed(1) : size.toFixed(0)} %`;
}

export function points(difference: number): string {
  if (!Number.isFinite(difference)) return "–";
  const size = 100 * Math.abs(difference);
  const sign = size < 0.05 ? "" : difference < 0 ? "−" : "+";
  return `${sign}${size < 9.95 ? size.toFixed(1) : size.toFixed(0)}`;
}

/** What a set of sources is called in this text. */
export function sourcesLabel(name: string, group: Group): string {
  if (name !== "first or special") return LABELS[name] ?? name;
  if (!group.sources.some((token) => token.category === "special")) return "the first token";
  return group.sources[0]?.category === "special" ? "special tokens" : "the first and the special tokens";
}

const LABELS: Record<string, string> = {
  "first token": "the first token",
  special: "special tokens",
  punctuation: "punctuation",
  other: "other tokens",
  itself: "the target itself",
  "the one before": "the token before",
};

/** The sets of sources to choose from: those of one content are listed once. */
export function statisticsOf(group: Group): string[] {
  const hasSpecial = group.sources.some((token) => token.category === "special");
  const label = sourcesLabel("first or special", group);
  return Object.keys(group.shares).filter(
    (name) => name === "first or special" || ((hasSpecial || name !== "special") && sourcesLabel(name, group) !== label),
  );
}

/** What stands below a saved picture: model, what is shown, the text, and the version. */
export function captionOf({ model, text, normlens }: Pick<OverviewFacts, "model" | "text" | "normlens">, what: string): string {
  return `${model}, ${what}: “${text.length > 90 ? `${text.slice(0, 90)} …` : text}”. normlens ${normlens}`;
}
