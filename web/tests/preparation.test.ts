import { describe, expect, it, vi } from "vitest";
import { largest, rowOf } from "../src/lib/maps";
import type { ShownMaps } from "../src/lib/measures";
import { rasterized } from "../src/lib/pixels";
import { preparationsOf } from "../src/lib/preparation";

const mapOf = (seed: number) => ({ targets: 3, sources: 3, values: Float32Array.from({ length: 9 }, (_, place) => ((seed + 7 * place) % 11) / 10) });
const frame = { side: 6, height: 6, view: { left: 0, top: 0, width: 3, height: 3 } };

describe("a map that is prepared", () => {
  const maps: ShownMaps = { weight: mapOf(1), moved: mapOf(2), difference: mapOf(3) };
  const leftOut = [true, false, false];

  it("is drawn without reading its numbers again", () => {
    for (const step of preparationsOf(maps, leftOut, frame)) step();
    for (const map of Object.values(maps)) {
      const former = rasterized(map, frame.view, frame.side, frame.height, leftOut);
      const most = largest(map, leftOut);
      const mean = rowOf(map, null);
      const read = vi.fn();
      const watched = new Proxy(map.values, { get: (values, name) => (read(), Reflect.get(values, name)) });
      Object.assign(map, { values: watched });
      expect(rasterized(map, frame.view, frame.side, frame.height, leftOut)).toBe(former);
      expect(largest(map, leftOut)).toBe(most);
      if (map !== maps.difference) expect(rowOf(map, null)).toBe(mean);
      expect(read).not.toHaveBeenCalled();
    }
  });

  it("has no pixels before the size of the maps is known", () => {
    expect(preparationsOf(maps, null, null)).toHaveLength(5);
    expect(preparationsOf(maps, null, frame)).toHaveLength(8);
  });
});
