import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { KernelTransport, type KernelModel, type Listener } from "../src/lib/kernelTransport";
import { WidgetMemory } from "../src/lib/memory";
import { Refused } from "../src/lib/protocol";

/** A kernel's side of a widget: what it was sent, and its answers, which every view receives. */
class FakeModel implements KernelModel {
  readonly sent: Record<string, unknown>[] = [];
  readonly listeners = new Set<Listener>();
  readonly values = new Map<string, unknown>();
  get = (name: string) => this.values.get(name);
  set = (name: string, value: unknown) => void this.values.set(name, value);
  save_changes = vi.fn();
  send = (content: unknown) => void this.sent.push(content as Record<string, unknown>);
  on = (_: string, listener: Listener) => void this.listeners.add(listener);
  off = (_: string, listener: Listener) => void this.listeners.delete(listener);
  answer = (content: object, buffers: DataView[] = []) => this.listeners.forEach((one) => one(content, buffers));
  get last(): Record<string, unknown> {
    return this.sent.at(-1)!;
  }
}

/** A message with one array, in the middle of a longer buffer, as a websocket delivers it. */
function message(values: number[]): DataView {
  const header = JSON.stringify({ run: "r", arrays: { row: { dtype: "float64", shape: [values.length], offset: 0, scale: 1 } } });
  const length = Math.ceil((header.length + 4) / 8) * 8 - 4;
  const whole = new Uint8Array(3 + 4 + length + 8 * values.length + 5);
  const view = new DataView(whole.buffer);
  view.setUint32(3, length, true);
  whole.set(new TextEncoder().encode(header.padEnd(length)), 7);
  values.forEach((value, place) => view.setFloat64(7 + length + 8 * place, value, true));
  return new DataView(whole.buffer, 3, 4 + length + 8 * values.length);
}

describe("requests to a kernel", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it("say that a cell shows the explorer, and that it no longer does", () => {
    const model = new FakeModel();
    const transport = new KernelTransport(model);
    const { view } = model.last;
    expect(model.last).toEqual({ view, isOpen: true });
    transport.close();
    expect(model.last).toEqual({ view, isOpen: false });
    expect(model.listeners.size).toBe(0);
  });

  it("are answered in any order, each cell by its own", async () => {
    const model = new FakeModel();
    const [one, another] = [new KernelTransport(model), new KernelTransport(model)];
    const first = one.ask("models");
    const { id } = model.last;
    const second = one.ask("progress", { run: "r" });
    const third = another.ask("models");
    expect(model.last).toMatchObject({ operation: "models", arguments: {} });
    model.answer({ id: model.last.id, answer: 3 });
    model.answer({ id: model.sent.at(-2)!.id, answer: 2 });
    model.answer({ id, answer: 1 });
    expect(await Promise.all([first, second, third])).toEqual([1, 2, 3]);
  });

  it("bring arrays from wherever they are in a buffer", async () => {
    const model = new FakeModel();
    const asked = new KernelTransport(model).fetchArrays<{ run: string }>("row", { run: "r" });
    model.answer({ id: model.last.id }, [message([0.5, -2])]);
    const { facts, arrays } = await asked;
    expect(facts).toEqual({ run: "r" });
    expect([...arrays.row!.values]).toEqual([0.5, -2]);
  });

  it("are refused with the service's words", async () => {
    const model = new FakeModel();
    const asked = new KernelTransport(model).ask("overview");
    model.answer({ id: model.last.id, error: "Run the text again.", status: 404 });
    const error: unknown = await asked.catch((one: unknown) => one);
    expect(error).toBeInstanceOf(Refused);
    expect(error).toMatchObject({ message: "Run the text again.", status: 404 });
  });

  it("tell when the kernel is silent, and when it is back", async () => {
    const model = new FakeModel();
    const silence: boolean[] = [];
    const asked = new KernelTransport(model, (isSilent) => silence.push(isSilent)).ask("models");
    vi.advanceTimersByTime(9_000);
    expect(silence).toEqual([]);
    vi.advanceTimersByTime(2_000);
    expect(silence).toEqual([true]);
    model.answer({ id: model.last.id, answer: 1 });
    await asked;
    expect(silence).toEqual([true, false]);
    vi.advanceTimersByTime(60_000);
    expect(silence).toEqual([true, false]);
  });

  it("end with the cell, or when they are dropped", async () => {
    const model = new FakeModel();
    const transport = new KernelTransport(model);
    const dropped = new AbortController();
    const first = transport.ask("models", {}, dropped.signal);
    dropped.abort();
    await expect(first).rejects.toThrow("dropped");
    const second = transport.ask("models");
    transport.close();
    await expect(second).rejects.toThrow("closed");
  });
});

it("a widget remembers what is looked at", () => {
  const model = new FakeModel();
  const memory = new WidgetMemory(model);
  expect(memory.fragment()).toBe("");
  memory.remember("#layer=4");
  expect(memory.fragment()).toBe("#layer=4");
  expect(model.save_changes).toHaveBeenCalledOnce();
});
