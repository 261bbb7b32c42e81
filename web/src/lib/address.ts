// The state that an address holds, in its fragment, which browsers send to no server.

export interface Choice {
  model: string;
  text: string;
  targetText: string;
  group: string;
  layer: number | null;
  head: number | "all";
  scope: string;
  measure: string;
  statistic: string;
  without: boolean;
  pin: number | null;
  view: "scatter" | "grid";
  scale: "shared" | "own";
  /** What colors the points: their clusters, if some were given, or their layers. */
  color: "cluster" | "layer";
  /** What is looked at: attention's heads, or what the model says. */
  page: PageName;
  /** The token that the model says; null for what comes after the text. */
  place: number | null;
  said: string;
  against: string;
  method: string;
  /** By what the flow is measured, and the least share of an edge, in percent. */
  by: "norm" | "weight";
  least: number;
  /** The layer of cross-attention that words are aligned by; null is the best one. */
  alignLayer: number | null;
  /** Links that an annotator made, such as "0-0 1p2". */
  gold: string;
  /** The second run, which stands beside the first: model and texts. */
  otherModel: string;
  otherText: string;
  otherTargetText: string;
}

export const LEAST = [0.5, 1, 2, 5, 10] as const;
export const PAGES = ["heads", "answer", "flow", "alignment", "comparison"] as const;
export type PageName = (typeof PAGES)[number];

export const nothingChosen: Choice = {
  model: "",
  text: "",
  targetText: "",
  group: "",
  layer: null,
  head: "all",
  scope: "attention",
  measure: "weighted_norm",
  statistic: "first or special",
  without: false,
  pin: null,
  view: "scatter",
  scale: "shared",
  color: "cluster",
  page: "heads",
  place: null,
  said: "",
  against: "",
  method: "decompx",
  by: "norm",
  least: 0.5,
  alignLayer: null,
  gold: "",
  otherModel: "",
  otherText: "",
  otherTargetText: "",
};

const count = (value: string | null): number | null => (value !== null && /^\d{1,6}$/.test(value) ? Number(value) : null);

/** The choice in a fragment; whatever can't be read is left as it is by default. */
export function choiceOf(fragment: string): Choice {
  const fields = new URLSearchParams(fragment.replace(/^#/, ""));
  const text = (name: string, fallback: string) => fields.get(name) ?? fallback;
  return {
    model: text("model", ""),
    text: text("text", ""),
    targetText: text("targetText", ""),
    group: text("group", ""),
    layer: count(fields.get("layer")),
    head: fields.get("head") === "all" ? "all" : (count(fields.get("head")) ?? "all"),
    scope: text("scope", nothingChosen.scope),
    measure: text("measure", nothingChosen.measure),
    statistic: text("statistic", nothingChosen.statistic),
    without: fields.get("without") === "1",
    pin: count(fields.get("pin")),
    view: fields.get("view") === "grid" ? "grid" : "scatter",
    scale: fields.get("scale") === "own" ? "own" : "shared",
    color: fields.get("color") === "layer" ? "layer" : "cluster",
    page: PAGES.find((name) => name === fields.get("page")) ?? "heads",
    place: count(fields.get("place")),
    said: text("said", ""),
    against: text("against", ""),
    method: text("method", nothingChosen.method),
    alignLayer: count(fields.get("alignLayer")),
    gold: text("gold", ""),
    otherModel: text("otherModel", ""),
    otherText: text("otherText", ""),
    otherTargetText: text("otherTargetText", ""),
    by: fields.get("by") === "weight" ? "weight" : "norm",
    least: LEAST.find((one) => one === Number(fields.get("least"))) ?? nothingChosen.least,
  };
}

/** The fragment of a choice; what is as by default is left out. */
export function fragmentOf(choice: Choice, token: string): string {
  const fields = new URLSearchParams();
  if (token) fields.set("token", token);
  for (const [name, value] of Object.entries(choice)) {
    const standard = nothingChosen[name as keyof Choice];
    if (value === null || value === standard) continue;
    fields.set(name, value === true ? "1" : String(value));
  }
  if (choice.layer !== null) fields.set("head", String(choice.head));
  return `#${fields.toString()}`;
}

export const tokenOf = (fragment: string): string => new URLSearchParams(fragment.replace(/^#/, "")).get("token") ?? "";
