// Where a token comes from: the larger edges of its flow, layer by layer, and where they are drawn.

import type { Explorer } from "./explorer.svelte";
import type { Group } from "./facts";
import type { ArrayMessage } from "./protocol";

export interface FlowFacts {
  group: string;
  target: number;
  by: "norm" | "weight";
  scope: string;
  layers: number[];
  threshold: number;
  /** The share of what reaches the text that isn't drawn. */
  hidden: number;
  /** The share that goes to no token. */
  lost: number;
}

/** One edge: from a target above a layer to a source below it. */
export interface Edge {
  layer: number;
  target: number;
  source: number;
  share: number;
}

/** A token between two layers (0 is below the first), and the share that passes through it. */
export interface Node {
  level: number;
  token: number;
  share: number;
}

export interface FlowGraph {
  edges: Edge[];
  nodes: Node[];
  /** The tokens of which something is drawn, in the order of the text. */
  tokens: number[];
}

export function graphOf({ facts, arrays }: ArrayMessage<FlowFacts>): FlowGraph {
  const values = arrays.edges!.values;
  const edges: Edge[] = [];
  for (let place = 0; place < values.length; place += 4) {
    const [layer, target, source, share] = values.slice(place, place + 4) as unknown as [number, number, number, number];
    edges.push({ layer, target, source, share });
  }
  const shares = new Map<string, Node>([[`${facts.layers.length}/${facts.target}`, { level: facts.layers.length, token: facts.target, share: 1 }]]);
  for (const { layer, source, share } of edges) {
    const key = `${layer}/${source}`;
    const node = shares.get(key) ?? { level: layer, token: source, share: 0 };
    shares.set(key, { ...node, share: node.share + share });
  }
  const nodes = [...shares.values()];
  return { edges, nodes, tokens: [...new Set(nodes.map(({ token }) => token))].sort((a, b) => a - b) };
}

/** The token whose flow is drawn: the pinned one, or the last that isn't special. */
export function rootOf(group: Group, pin: number | null): number {
  if (pin !== null) return pin;
  return Math.max(0, group.targets.map(({ category }) => category).lastIndexOf("other"));
}

export class Flow {
  shown = $state.raw<ArrayMessage<FlowFacts> | null>(null);
  isBusy = $state(false);
  private key = "";

  constructor(private readonly explorer: Explorer) {}

  /** Ask for the flow that is chosen, unless it is shown. */
  async ask(): Promise<void> {
    const { explorer } = this;
    const { by, least, pin } = explorer.choice;
    const [group, run] = [explorer.group, explorer.overview?.facts.run];
    if (!group || !run) return;
    const args = { group: group.name, target: rootOf(group, pin), by, threshold: least / 100 };
    const key = JSON.stringify([run, args]);
    if (key === this.key) return;
    this.key = key;
    this.isBusy = true;
    const flow = await explorer.asked<FlowFacts>("flow", args);
    if (key !== this.key) return;
    this.isBusy = false;
    this.shown = flow;
    if (!flow) this.key = "";
  }
}
