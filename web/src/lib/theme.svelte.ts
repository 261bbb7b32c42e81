// Light or dark, as the reader's system is set.

import type { Theme } from "./scales";

const query = window.matchMedia("(prefers-color-scheme: dark)");
export const theme = $state<{ now: Theme }>({ now: query.matches ? "dark" : "light" });
query.addEventListener("change", () => (theme.now = query.matches ? "dark" : "light"));
