// The explorer in a notebook's cell, as anywidget asks for it: one module with its style inside, and nothing global.

import { mount, unmount } from "svelte";
import style from "./app.css?inline";
import App from "./App.svelte";
import { Explorer } from "./lib/explorer.svelte";
import { KernelTransport, type KernelModel } from "./lib/kernelTransport";
import { WidgetMemory } from "./lib/memory";

function render({ model, el }: { model: KernelModel; el: HTMLElement }): () => void {
  const host = el.appendChild(document.createElement("div"));
  host.dataset.lmSuppressShortcuts = "true"; // or JupyterLab cuts the cell at an x
  const root = host.attachShadow({ mode: "open" });
  root.appendChild(document.createElement("style")).textContent = style;
  const transport = new KernelTransport(model, (isSilent) => (explorer.isSilent = isSilent));
  const memory = new WidgetMemory(model);
  const explorer = new Explorer(transport, memory);
  const app = mount(App, { target: root, props: { explorer, isCell: true } });
  void explorer.start(memory.fragment());
  return () => {
    explorer.close();
    transport.close();
    void unmount(app);
    host.remove();
  };
}

export default { render };
