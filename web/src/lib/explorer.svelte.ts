// What the reader chose, what the service answered, and the requests between.

import { PAGES, choiceOf, fragmentOf, nothingChosen, type Choice, type PageName } from "./address";
import { clustersOf, givenClusters } from "./clusters";
import { leftOut, type Group, type Offer, type OverviewFacts, type RunState } from "./facts";
import type { Frame } from "./mapFrame";
import type { Memory } from "./memory";
import { MapStore, keyOf, type ExactRow, type Place, type ShownMap } from "./mapStore";
import type { Measure } from "./measures";
import { preparationsOf } from "./preparation";
import { Refused, type ArrayMessage, type Facts, type Transport } from "./protocol";

const POLL = 100;
/** Milliseconds of rest before the maps are fetched that the reader may want next. */
const REST = 120;
/** Maps of more numbers aren't fetched before they are wanted. */
const MOST_AHEAD = 1_500_000;
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
  /** Whether a notebook's kernel owes an answer for long. */
  isSilent = $state(false);
  /** How the maps were drawn last; the next ones are prepared for it. */
  frame: Frame | null = null;

  readonly group = $derived<Group | null>(
    this.overview?.facts.groups.find((one) => one.name === this.choice.group) ?? this.overview?.facts.groups[0] ?? null,
  );
  readonly leftOut = $derived(this.group && this.choice.without ? leftOut(this.group.sources) : null);
  /** The target that the text is colored by: under the pointer, or pinned; null stands for the mean over all targets. */
  readonly target = $derived(this.hovered ?? this.choice.pin);
  private readonly hasTwoTexts = $derived(this.overview?.facts.groups.some((one) => one.crossed) ?? false);
  /** The views that there are. */
  readonly pages = $derived<PageName[]>(this.offer?.pages ?? PAGES.filter((page) => page !== "alignment" || this.hasTwoTexts));
  readonly page = $derived(this.pages.includes(this.choice.page) ? this.choice.page : "heads");
  readonly isRunning = $derived(["waiting", "loading", "running"].includes(this.progress?.state ?? ""));

  /** The cluster of each head, if clusters of these heads were given. */
  readonly clusters = $derived(this.group && clustersOf(givenClusters(this.offer, this.choice.model), this.group));

  /** The measures that the chosen head has, or all heads together. */
  readonly measures = $derived(this.measuresOf(this.choice.head));
  readonly measure = $derived(this.chosenOf(this.measures));

  private readonly maps: MapStore;
  private latest = 0;
  private looks = 0;

  constructor(
    private readonly transport: Transport,
    private readonly memory: Memory,
  ) {
    this.maps = new MapStore(transport);
  }

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
    if (this.offer.isFile) Object.assign(this.choice, { model: "", text: "", targetText: "" });
    else if (!this.choice.text) {
      this.choice.text = this.offer.text || SAMPLE;
      this.choice.targetText ||= this.offer.targetText;
      this.choice.gold ||= this.offer.gold ?? "";
    }
    await this.run(false);
  }

  /** Back and Forward: another choice, and another run if the text differs. */
  async goTo(fragment: string): Promise<void> {
    const before = this.choice;
    this.choice = choiceOf(fragment);
    if (this.offer?.isFile) Object.assign(this.choice, { model: "", text: "", targetText: "" });
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
    if (isNew) Object.assign(this.choice, { pin: null, layer: null, head: "all", group: "", place: null, said: "", against: "", alignLayer: null, gold: "" });
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

  /** Another run of the same service's models, which no address remembers. */
  second(): Explorer {
    return new Explorer(this.transport, { token: "", fragment: () => "", remember: () => {} });
  }

  /** Look at what another run's reader looks at. */
  async follow(choice: Partial<Choice>): Promise<void> {
    Object.assign(this.choice, choice);
    this.settle();
    await this.show();
  }

  /** End what is under way: nobody looks any longer. */
  close(): void {
    this.latest += 1;
    this.looks += 1;
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
    const next = this.neighbor(heads, layers);
    if (next) await this.change(next);
  }

  /** The next head or layer in a direction, around the ends; null while there is no group. */
  private neighbor(heads: number, layers: number): { layer: number; head: number | "all" } | null {
    const { group, choice } = this;
    if (!group) return null;
    const at = Math.max(0, group.layers.indexOf(choice.layer ?? group.layers[0]!));
    const row = choice.layer === null ? at : (at + layers + group.layers.length) % group.layers.length;
    const count = group.heads[row]!;
    const now = choice.head === "all" ? (heads > 0 ? -1 : 0) : choice.head;
    const head = heads ? (now + heads + count) % count : choice.head === "all" ? "all" : Math.min(now, count - 1);
    return { layer: group.layers[row]!, head };
  }

  /** The reader points at a head: fetch its map, if the pointer rests there. */
  async pointAt(layer: number, head: number): Promise<void> {
    await this.fetchAhead([{ layer, head }], (this.looks += 1));
  }

  /** Fetch maps, one after the other, as long as the reader does nothing else. */
  private async fetchAhead(places: ({ layer: number; head: number | "all" } | null)[], look: number): Promise<void> {
    const { group, offer } = this;
    if (!group || offer?.isFile || group.targets.length * group.sources.length > MOST_AHEAD) return;
    for (const place of places) {
      await pause(REST);
      if (look !== this.looks || this.isRunning) return;
      const wanted = place && this.wanted(place);
      if (!wanted) continue;
      const shown = await this.maps.map(wanted.place, wanted.measure, wanted.scope).catch(() => null); // it is fetched again when it is wanted
      for (const prepare of shown ? preparationsOf(shown.maps, this.leftOut, this.frame) : []) {
        await pause(0);
        if (look !== this.looks) return;
        prepare();
      }
    }
  }

  /** A file that the service makes: every number of the map, the whole analysis, or this page with its data. */
  async saved(kind: "csv" | "nc" | "html"): Promise<{ name: string; bytes: Uint8Array } | null> {
    const wanted = this.wanted();
    if (!wanted) return null;
    const file = await this.asked<{ name: string }>("save", { ...wanted.place, measure: wanted.measure.name, kind });
    return file && { name: file.facts.name, bytes: file.arrays.file!.values as Uint8Array };
  }

  /** Ask the service about the run that is shown; null if it refuses, and then the page says why. */
  async asked<F>(operation: string, args: Facts): Promise<ArrayMessage<F> | null> {
    const run = this.overview?.facts.run;
    if (!run) return null;
    this.problem = "";
    try {
      return await this.transport.fetchArrays<F>(operation, { run, ...args });
    } catch (error) {
      if (error instanceof Refused && error.status === 404) await this.run(false);
      else this.fail(error);
      return null;
    }
  }

  async pin(target: number | null): Promise<void> {
    this.hovered = null;
    await this.change({ pin: target === this.choice.pin ? null : target });
  }

  private measuresOf(head: number | "all"): Measure[] {
    return (head === "all" ? this.group?.sumMeasures : this.group?.headMeasures) ?? [];
  }

  private chosenOf(measures: Measure[]): Measure | null {
    return measures.find((one) => one.name === this.choice.measure) ?? measures[0] ?? null;
  }

  /** The place, measure and scope of the choice; null while no layer is chosen. */
  private wanted(chosen: Pick<Choice, "layer" | "head"> = this.choice): { place: Place; measure: Measure; scope: string } | null {
    const { layer, head } = chosen;
    const [group, run, measure] = [this.group, this.overview?.facts.run, this.chosenOf(this.measuresOf(head))];
    const { scope } = this.choice;
    if (!group || !run || !measure || layer === null) return null;
    return { place: { run, group: group.name, layer, head: head === "all" ? null : head }, measure, scope };
  }

  /** Fetch the map and the row of the choice, unless they are shown. */
  private async show(): Promise<void> {
    const look = (this.looks += 1);
    const wanted = this.wanted();
    if (!wanted) {
      this.map = this.row = null;
      return;
    }
    const key = keyOf(wanted.place, wanted.measure, wanted.scope);
    const isCurrent = () => {
      const now = this.wanted();
      return now !== null && keyOf(now.place, now.measure, now.scope) === key;
    };
    try {
      const shown = await this.maps.map(wanted.place, wanted.measure, wanted.scope);
      if (!isCurrent()) return;
      this.map = shown;
      await this.showRow(shown, isCurrent);
      void this.fetchAhead([this.neighbor(1, 0), this.neighbor(-1, 0), this.neighbor(0, 1), this.neighbor(0, -1)], look);
    } catch (error) {
      if (error instanceof Refused && error.status === 404) await this.run(false);
      else this.fail(error);
    }
  }

  /** Fetch the exact row of the pinned token, unless it is shown. */
  private async showRow(shown: ShownMap, isCurrent: () => boolean): Promise<void> {
    const { pin } = this.choice;
    if (pin === null) this.row = null;
    if (pin === null || this.row?.key === `${shown.key}/${pin}`) return;
    const row = await this.maps.row(shown, pin);
    if (isCurrent() && this.choice.pin === pin) this.row = row;
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
    const fragment = fragmentOf(this.choice, this.memory.token);
    if (fragment !== this.memory.fragment()) this.memory.remember(fragment, isStep);
  }

  private fail(error: unknown): void {
    if (error instanceof Refused) this.problem = error.message;
    else this.problem = `The page failed: ${error instanceof Error ? error.message : String(error)}. Reload it, and please report it.`;
    this.progress = null;
  }
}
