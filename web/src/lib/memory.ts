// Where what is looked at is remembered: in the page's address, or with a notebook's widget.

import { tokenOf } from "./address";
import type { KernelModel } from "./kernelTransport";

export interface Memory {
  /** The token that belongs into the fragment; empty if there is none. */
  readonly token: string;
  fragment(): string;
  /** Remember a fragment; a step is one that the reader can come back from. */
  remember(fragment: string, isStep: boolean): void;
}

export class PageAddress implements Memory {
  constructor(readonly token: string) {}

  fragment(): string {
    return location.hash;
  }

  remember(fragment: string, isStep: boolean): void {
    if (isStep) history.pushState(null, "", fragment);
    else history.replaceState(null, "", fragment);
  }

  /** Back and Forward; an address with another token is another explorer's. */
  onReturn(goTo: (fragment: string) => void): void {
    window.addEventListener("popstate", () => {
      if (tokenOf(location.hash) === this.token) goTo(location.hash);
      else location.reload();
    });
  }
}

/** A page without an address of its own, as in a notebook's saved output. */
export class FrameMemory implements Memory {
  readonly token = "";
  private shown = "";

  fragment(): string {
    return this.shown;
  }

  remember(fragment: string): void {
    this.shown = fragment;
  }
}

export class WidgetMemory implements Memory {
  readonly token = "";

  constructor(private readonly model: KernelModel) {}

  fragment(): string {
    return String(this.model.get("shown") ?? "");
  }

  remember(fragment: string): void {
    this.model.set("shown", fragment);
    this.model.save_changes();
  }
}
