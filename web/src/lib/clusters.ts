// Clusters of heads that `normlens cluster heads` found, as colors of the points.

import type { Group, Offer } from "./facts";
import type { Theme } from "./scales";

/** What a file of clusters holds: heads as "layer.head", and the cluster of each, from 1. */
export interface HeadClusters {
  heads: string[];
  labels: number[];
  /** Whether they are a good clustering, or the nearest to one. */
  isGood: boolean;
}

/** Colors that stay apart for every kind of color vision (Okabe and Ito 2008); further clusters share the last. */
const COLORS: Record<Theme, string[]> = {
  light: ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#56b4e9", "#3a3f45", "#9aa1a9"],
  dark: ["#56b4e9", "#e69f00", "#2fc79b", "#cc79a7", "#f0e442", "#4d8fd6", "#e8ebef", "#7a828c"],
};

export const clusterColor = (cluster: number, theme: Theme): string => COLORS[theme][Math.min(cluster, COLORS[theme].length) - 1]!;

/** The cluster of each head of a group, in the order of its points; null if the clusters are of other heads. */
export function clustersOf(clusters: HeadClusters | null | undefined, group: Group): number[] | null {
  if (!clusters) return null;
  const labels = new Map(clusters.heads.map((head, place) => [head, clusters.labels[place]!]));
  const names = group.layers.flatMap((layer, row) => Array.from({ length: group.heads[row]! }, (_, head) => `${layer}.${head}`));
  return names.length === labels.size && names.every((name) => labels.has(name)) ? names.map((name) => labels.get(name)!) : null;
}

/** The clusters that were given, if the chosen model is the one that they are of: the first. */
export const givenClusters = (offer: Offer | null, model: string): HeadClusters | null => (offer && model === offer.models[0] ? (offer.clusters ?? null) : null);

/** The clusters and the number of heads in each, in order. */
export function clusterSizes(labels: number[]): [cluster: number, size: number][] {
  const sizes = new Map<number, number>();
  for (const label of labels) sizes.set(label, (sizes.get(label) ?? 0) + 1);
  return [...sizes].sort((a, b) => a[0] - b[0]);
}
