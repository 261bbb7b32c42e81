import { describe, expect, it } from "vitest";
import { clusterColor, clusterSizes, clustersOf, givenClusters } from "../src/lib/clusters";
import type { Group, Offer } from "../src/lib/facts";

const group = { layers: [3, 7], heads: [2, 1] } as unknown as Group;
const clusters = { heads: ["7.0", "3.0", "3.1"], labels: [2, 1, 1], isGood: true };

describe("clusters of heads", () => {
  it("are in the order of the points, whatever the order of the file", () => {
    expect(clustersOf(clusters, group)).toEqual([1, 1, 2]);
    expect(clusterSizes([1, 1, 2])).toEqual([[1, 2], [2, 1]]);
  });
  it("are not of a group with other, more or fewer heads", () => {
    expect(clustersOf(null, group)).toBeNull();
    expect(clustersOf(clusters, { ...group, heads: [2, 2] })).toBeNull();
    expect(clustersOf(clusters, { ...group, layers: [3, 8] })).toBeNull();
    expect(clustersOf({ ...clusters, heads: [...clusters.heads, "9.0"], labels: [2, 1, 1, 1] }, group)).toBeNull();
  });
  it("are of the first model alone", () => {
    const offer = { models: ["a", "b"], clusters } as unknown as Offer;
    expect(givenClusters(offer, "a")).toBe(clusters);
    expect(givenClusters(offer, "b")).toBeNull();
    expect(givenClusters(null, "a")).toBeNull();
  });
  it("share the last color beyond the eighth", () => {
    expect(clusterColor(8, "light")).toBe(clusterColor(20, "light"));
    expect(new Set([1, 2, 3, 4, 5, 6, 7, 8].map((one) => clusterColor(one, "dark"))).size).toBe(8);
  });
});
