// Requests from a notebook's cell to its kernel: messages with binary buffers, over anywidget.

import { decoded, Refused, type ArrayMessage, type Facts, type Transport } from "./protocol";

/** What anywidget gives a widget, as far as it is used here. */
export interface KernelModel {
  get(name: string): unknown;
  set(name: string, value: unknown): void;
  save_changes(): void;
  send(content: unknown): void;
  on(event: "msg:custom", listener: Listener): void;
  off(event: "msg:custom", listener: Listener): void;
}
export type Listener = (content: Reply, buffers: DataView[]) => void;

interface Reply {
  id?: string;
  answer?: unknown;
  error?: string;
  status?: number;
}
interface Waiting {
  resolve: (answer: { content: Reply; buffers: DataView[] }) => void;
  reject: (error: unknown) => void;
}

const PATIENCE = 10_000;
let views = 0;

export class KernelTransport implements Transport {
  private readonly waiting = new Map<string, Waiting>();
  /** Several cells may show one widget, and each of them receives all answers. */
  private readonly view = `${Date.now().toString(36)}-${(views += 1)}`;
  private count = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;

  /** `onSilence` learns when a request has had no answer for ten seconds, and when there is one again. */
  constructor(
    private readonly model: KernelModel,
    private readonly onSilence: (isSilent: boolean) => void = () => {},
  ) {
    model.on("msg:custom", this.receive);
    model.send({ view: this.view, isOpen: true });
  }

  async ask<T>(operation: string, args: Facts = {}, signal?: AbortSignal): Promise<T> {
    return (await this.request(operation, args, signal)).content.answer as T;
  }

  async fetchArrays<F>(operation: string, args: Facts, signal?: AbortSignal): Promise<ArrayMessage<F>> {
    const [part] = (await this.request(operation, args, signal)).buffers;
    if (!part) throw new Refused("The kernel's answer has lost its numbers. Run the cell again.", 0);
    return decoded<F>(part.buffer.slice(part.byteOffset, part.byteOffset + part.byteLength) as ArrayBuffer); // so that arrays begin at multiples of eight
  }

  /** Tell the kernel that this cell no longer shows the explorer. */
  close(): void {
    clearTimeout(this.timer);
    this.model.off("msg:custom", this.receive);
    this.model.send({ view: this.view, isOpen: false });
    for (const { reject } of this.waiting.values()) reject(new DOMException("The cell was closed.", "AbortError"));
    this.waiting.clear();
  }

  private request(operation: string, args: Facts, signal?: AbortSignal): Promise<{ content: Reply; buffers: DataView[] }> {
    const id = `${this.view}/${(this.count += 1)}`;
    return new Promise((resolve, reject) => {
      signal?.addEventListener("abort", () => {
        if (this.waiting.delete(id)) reject(new DOMException("The request was dropped.", "AbortError"));
      });
      this.waiting.set(id, { resolve, reject });
      this.watch();
      this.model.send({ id, operation, arguments: args });
    });
  }

  private readonly receive: Listener = (content, buffers) => {
    const waiting = this.waiting.get(content.id ?? "");
    if (!waiting) return;
    this.waiting.delete(content.id!);
    this.onSilence(false);
    clearTimeout(this.timer);
    this.timer = undefined;
    if (this.waiting.size) this.watch();
    if (content.error === undefined) waiting.resolve({ content, buffers });
    else waiting.reject(new Refused(content.error, content.status ?? 0));
  };

  private watch(): void {
    this.timer ??= setTimeout(() => this.onSilence(true), PATIENCE);
  }
}
