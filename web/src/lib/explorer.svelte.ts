// What the reader chose, what the service answered, and the requests between.

import { choiceOf, fragmentOf, nothingChosen, tokenOf, type Choice } from "./address";
import { leftOut, type Group, type Offer, type OverviewFacts, type RunState } from "./facts";
import { movedBy, tripleOf, type MapTriple } from "./maps";
import { Refused, type ArrayMessage, type NumberArray, type Transport } from "./protocol";

export interface ShownMap {
  key: string;
  triple: MapTriple;
}

export interface ExactRow {
  key: string;
  target: number;
  weight: NumberArray["values"];
  vectorNorm: NumberArray["values"] | null;
  norm: NumberArray["values"];
}

const MOST_KEPT = 24;
const POLL = 200;
const SAMPLE = "The capital of France is Paris, and everyone who has been there remembers the river.";
const pause = (milliseconds: number) => new Promise((done) => setTimeout(done, milliseconds));

export class Explorer {
  choice = $state<Choice>({ ...nothingChosen });
  offer = $state<Offer | null>(null);
  progress = $state<RunState | null>(null);
  overview = $state.raw<ArrayMessage<OverviewFacts> | null>(null);
  map = $state.raw<ShownMap | null>(null);
  row = $state.raw<ExactRow | null>(null);
  hovered = $state<number | null>(null);
  problem = $state("");

  readonly group = $derived<Group | null>(
    this.overview?.facts.groups.find((one) => one.name === this.choice.group) ?? this.overview?.facts.groups[0] ?? null,
  );
  readonly leftOut = $derived(this.group && this.choice.without ? leftOut(this.group.sources) : null);
  /** The target that the text is colored by: under the pointer, or pinned; null stands for the mean over all targets. */
  readonly target = $derived(this.hovered ?? this.choice.pin);
  readonly isRunning = $derived(["waiting", "loading", "running"].includes(this.progress?.state ?? ""));

  private readonly maps = new Map<string, ShownMap>();
  private latest = 0;

  constructor(
    private readonly transport: Transport,
    private readonly token: string,
  ) {}

  /** Read the address, ask what there is, and run the text. */
  async start(fragment: string): Promise<void> {
    this.choice = choiceOf(fragment);
    try {
      this.offer = await this.transport.ask<Offer>("models");
    } catch (error) {
      this.fail(error);
      return;
    }
    this.choice.model ||= this.offer.models[0] ?? "";
    if (!this.choice.text) {
      this.choice.text = this.offer.text || SAMPLE;
      this.choice.targetText ||= this.offer.targetText;
    }
    await this.run(false);
  }

  /** Back and Forward: another choice, and another run if the text differs. */
  async goTo(fragment: string): Promise<void> {
    if (tokenOf(fragment) !== this.token) {
      location.reload();
      return;
    }
    const before = this.choice;
    this.choice = choiceOf(fragment);
    const same = (["model", "text", "targetText"] as const).every((name) => before[name] === this.choice[name]);
    if (same) await this.show();
    else await this.run(false);
  }

  /** Run the chosen model on the chosen text, and show the overview. */
  async run(isNew = true): Promise<void> {
    const turn = (this.latest += 1);
    const { model, text, targetText } = this.choice;
    const former = this.isRunning ? this.progress?.run : null;
    this.problem = "";
    this.hovered = null;
    if (isNew) Object.assign(this.choice, { pin: null, layer: null, head: "all", group: "" });
    try {
      if (former) await this.transport.ask("cancel", { run: former });
      this.progress = await this.transport.ask<RunState>("run", { model, text, targetText });
      while (this.isRunning) {
        await pause(POLL);
        const run: string = this.progress?.run ?? "";
        const progress: RunState = await this.transport.ask<RunState>("progress", { run });
        if (turn !== this.latest) return;
        this.progress = progress;
      }
      if (this.progress?.state === "failed") this.problem = this.progress.message;
      if (this.progress?.state !== "done") return;
      const overview = await this.transport.fetchArrays<OverviewFacts>("overview", { run: this.progress.run });
      if (turn !== this.latest) return;
      this.maps.clear();
      this.map = this.row = null;
      this.overview = overview;
      this.settle();
      this.remember(isNew);
      await this.show();
    } catch (error) {
      if (turn === this.latest) this.fail(error);
    }
  }

  async cancel(): Promise<void> {
    const run = this.progress?.run;
    if (run) await this.transport.ask("cancel", { run }).catch((error) => this.fail(error));
  }

  /** Change the choice; the address follows, with an entry in the history if the step is one to come back from. */
  async change(changes: Partial<Choice>, isStep = true): Promise<void> {
    Object.assign(this.choice, changes);
    if ("group" in changes) Object.assign(this.choice, { layer: null, head: "all", pin: null, scope: "attention" });
    this.settle();
    this.remember(isStep);
    await this.show();
  }

  /** The next head or layer in a direction, around the ends. */
  async step(heads: number, layers: number): Promise<void> {
    const group = this.group;
    if (!group) return;
    const at = Math.max(0, group.layers.indexOf(this.choice.layer ?? group.layers[0]!));
    const row = this.choice.layer === null ? at : (at + layers + group.layers.length) % group.layers.length;
    const count = group.heads[row]!;
    const now = this.choice.head === "all" ? (heads > 0 ? -1 : 0) : this.choice.head;
    const head = heads ? (now + heads + count) % count : this.choice.head === "all" ? "all" : Math.min(now, count - 1);
    await this.change({ layer: group.layers[row]!, head });
  }

  async pin(target: number | null): Promise<void> {
    this.hovered = null;
    await this.change({ pin: target === this.choice.pin ? null : target });
  }

  /** Fetch the map and the row of the choice, unless they are shown. */
  private async show(): Promise<void> {
    const [group, run] = [this.group, this.overview?.facts.run];
    const { layer, head, scope, pin } = this.choice;
    if (!group || !run || layer === null) {
      this.map = this.row = null;
      return;
    }
    const where = { run, group: group.name, layer, head: head === "all" ? null : head };
    const key = [run, group.name, layer, head, head === "all" ? scope : ""].join("/");
    try {
      const shown = this.maps.get(key) ?? (await this.fetched(key, where, scope));
      if (key !== this.currentKey()) return;
      this.map = shown;
      if (pin === null) {
        this.row = null;
        return;
      }
      const rowKey = `${key}/${pin}`;
      if (this.row?.key === rowKey) return;
      const { arrays } = await this.transport.fetchArrays("row", { ...where, target: pin });
      if (key !== this.currentKey() || this.choice.pin !== pin) return;
      const norm = head === "all" ? arrays[`norm/${scope}`] : arrays.weighted_norm;
      this.row = {
        key: rowKey,
        target: pin,
        weight: arrays.weight!.values,
        vectorNorm: arrays.vector_norm?.values ?? null,
        norm: norm!.values,
      };
    } catch (error) {
      if (error instanceof Refused && error.status === 404) await this.run(false);
      else this.fail(error);
    }
  }

  private async fetched(key: string, where: Record<string, unknown>, scope: string): Promise<ShownMap> {
    const { arrays } = await this.transport.fetchArrays("map", where);
    const weight = arrays.weight!;
    const summed = arrays[`norm/${scope}`] ?? arrays["norm/attention"];
    const moved = arrays.vector_norm ? movedBy(weight, arrays.vector_norm) : Float32Array.from(summed!.values);
    const shown = { key, triple: tripleOf(weight, moved) };
    this.maps.set(key, shown);
    if (this.maps.size > MOST_KEPT) this.maps.delete(this.maps.keys().next().value!);
    return shown;
  }

  private currentKey(): string {
    const { layer, head, scope } = this.choice;
    return [this.overview?.facts.run, this.group?.name, layer, head, head === "all" ? scope : ""].join("/");
  }

  /** Replace what a link names and this text or model doesn't have. */
  private settle(): void {
    const group = this.group;
    if (!group) return;
    const { choice } = this;
    choice.group = group === this.overview?.facts.groups[0] ? "" : group.name;
    const row = group.layers.indexOf(choice.layer ?? -1);
    if (row < 0) Object.assign(choice, { layer: null, head: "all" });
    else if (choice.head !== "all" && choice.head >= group.heads[row]!) choice.head = "all";
    if (choice.pin !== null && choice.pin >= group.targets.length) choice.pin = null;
    if (!group.shares[choice.statistic]) choice.statistic = nothingChosen.statistic;
    if (!group.scopes.some((scope) => scope.name === choice.scope)) choice.scope = "attention";
  }

  private remember(isStep: boolean): void {
    const fragment = fragmentOf(this.choice, this.token);
    if (fragment === location.hash) return;
    if (isStep) history.pushState(null, "", fragment);
    else history.replaceState(null, "", fragment);
  }

  private fail(error: unknown): void {
    if (error instanceof Refused) this.problem = error.message;
    else this.problem = `The page failed: ${error instanceof Error ? error.message : String(error)}. Reload it, and please report it.`;
    this.progress = null;
  }
}
