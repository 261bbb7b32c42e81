import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig, type Plugin } from "vite";

/** Writes the licenses of all packages of which something is in the bundle. */
const licenses = (): Plugin => ({
  name: "licenses",
  generateBundle() {
    const homes = new Set<string>();
    for (const id of this.getModuleIds()) {
      const home = id.replaceAll("\\", "/").match(/^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/)?.[0];
      if (home && existsSync(join(home, "package.json"))) homes.add(home.replace(/^\0/, ""));
    }
    const texts = [...homes].map((home) => {
      const { name, version } = JSON.parse(readFileSync(join(home, "package.json"), "utf8")) as { name: string; version: string };
      const file = readdirSync(home).find((one) => /^licen[sc]e/i.test(one));
      return `${name} ${version}\n\n${file ? readFileSync(join(home, file), "utf8").trim() : "no license file"}\n`;
    });
    this.emitFile({ type: "asset", fileName: "licenses.txt", source: texts.sort().join(`\n${"-".repeat(72)}\n\n`) });
  },
});

/** The page, or, in the mode "widget", the module for notebooks, which has the same packages inside. */
export default defineConfig(({ mode }) => ({
  base: "./",
  plugins: mode === "widget" ? [svelte()] : [svelte(), licenses()],
  publicDir: mode === "widget" ? false : "public",
  resolve: process.env.VITEST ? { conditions: ["browser"] } : {},
  build: {
    outDir: "../src/normlens/figures/explorer_page/static",
    emptyOutDir: mode !== "widget",
    target: "es2022",
    modulePreload: { polyfill: false },
    rollupOptions: {
      ...(mode === "widget" ? { input: "src/widget.ts", preserveEntrySignatures: "strict" } : {}),
      output: {
        entryFileNames: mode === "widget" ? "assets/widget.js" : "assets/explorer.js",
        chunkFileNames: "assets/[name].js",
        assetFileNames: "assets/[name][extname]",
      },
    },
  },
  test: { include: ["tests/**/*.test.ts"], environment: "node" },
}) as never);
