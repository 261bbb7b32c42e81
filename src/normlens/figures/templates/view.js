// What the reader chose, and the page that follows from it.

const measures = {
  weight: { title: "What the weights say", button: "weight" },
  norm: { title: "What attention moves", button: "norm" },
};
const state = { group: 0, measure: "both", layer: "all", head: "all", scope: "attention", direction: "in", token: null, side: null };
let hovered = null;
const byId = (id) => document.getElementById(id);
const percent = (share) => (Number.isFinite(share) ? `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %` : "–");
const digits = (value) => (Number.isFinite(value) ? value.toPrecision(3) : "–");

function make(tag, properties = {}, children = []) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

const current = () => groups[state.group];
const scopesOf = (group) => scopes.filter(({ variable }) => group.arrays[variable]).map(({ name }) => name);

// The token that the page is about: under the pointer, or kept by a click; null stands for the mean over all targets.
function chosenToken() {
  if (hovered) return hovered;
  if (state.token === null) return null;
  return { place: state.token, side: current().crossed ? state.side : sideOfDirection() };
}
const sideOfDirection = () => (state.direction === "in" ? "target" : "source");

function segments(id, options, chosen, choose) {
  byId(id).replaceChildren(...options.map(([value, label], place) => make("button", {
    type: "button",
    textContent: label,
    ariaPressed: String(value === chosen),
    onclick: () => {
      choose(value);
      byId(id).children[place].focus(); // the choice built the buttons anew
    },
  })));
}

function fillControls() {
  const group = current();
  byId("group-field").hidden = groups.length < 2;
  segments("group", groups.map((each, place) => [place, each.name]), state.group, (value) =>
    change({ group: value, layer: "all", head: "all", token: null, scope: "attention" }));
  segments("measure", [["both", "side by side"], ["weight", "weight"], ["norm", "norm"]], state.measure, (value) =>
    change({ measure: value }));
  options("layer", "all layers", group.layers);
  options("head", "all heads", group.heads);
  const present = scopesOf(group);
  byId("scope-field").hidden = present.length < 2;
  byId("scope-field").disabled = state.head !== "all" || state.measure === "weight";
  segments("scope", present.map((name) => [name, scopeNamed(name).label]), state.scope, (value) =>
    change({ scope: value }));
  byId("direction-field").hidden = group.crossed;
  segments("direction", [["in", "what it receives"], ["out", "what it gives"]], state.direction, (value) =>
    change({ direction: value }));
}

function options(id, all, numbers) {
  byId(id).replaceChildren(make("option", { value: "all", textContent: all }),
    ...numbers.map((number, place) => make("option", { value: String(place), textContent: String(number) })));
  byId(id).value = String(state[id]);
  byId(id).onchange = (event) => change({ [id]: event.target.value === "all" ? "all" : Number(event.target.value) });
}

function step(id, by) {
  const total = current()[`${id}s`].length;
  const place = state[id] === "all" ? -1 : state[id];
  const next = (((place + by + 1) % (total + 1)) + total + 1) % (total + 1) - 1;
  change({ [id]: next === -1 ? "all" : next });
}

function formulaOf(measure) {
  const layer = state.layer === "all" ? "mean over layers" : `layer ${current().layers[state.layer]}`;
  if (measure === "weight") {
    return `${state.head === "all" ? "mean of α over heads" : `α of head ${current().heads[state.head]}`}, ${layer}`;
  }
  const formula = state.head === "all" ? scopeNamed(state.scope).formula : `‖α f(x)‖ of head ${current().heads[state.head]}`;
  return `${formula}, ${layer}`;
}

// One number per token of the side that is colored: a row, a column, or the mean row when no token is chosen.
function profile(map, chosen) {
  const side = chosen && chosen.side === "source" ? "target" : "source";
  const length = side === "source" ? map.sources : map.targets;
  const shares = Float64Array.from({ length }, (_, place) => {
    if (!chosen) return meanShare(map.shares, place, map);
    return side === "source" ? map.shares[chosen.place * map.sources + place] : map.shares[place * map.sources + chosen.place];
  });
  let extra = null;
  if (map.extraShares && side === "source") {
    const held = map.extraShares;
    extra = chosen ? held[chosen.place] : held.reduce((sum, share) => sum + share, 0) / held.length;
  }
  return { side, shares, extra, largest: shares.reduce((most, share) => (share > most ? share : most), 0) };
}

function meanShare(shares, source, { targets, sources }) {
  let sum = 0;
  let count = 0;
  for (let target = 0; target < targets; target += 1) {
    const share = shares[target * sources + source];
    if (Number.isFinite(share)) {
      sum += share;
      count += 1;
    }
  }
  return count ? sum / count : NaN;
}

let cards = [];

function build() {
  const group = current();
  const shown = state.measure === "both" ? ["weight", "norm"] : [state.measure];
  cards = shown.map((measure) => {
    const card = make("section", { className: `card ${measure}` });
    const map = mapOf(group, state, measure);
    const [ramp, most] = [make("i"), make("span")];
    const canvas = make("canvas", { tabIndex: -1, ariaLabel: `heat map of ${measures[measure].title.toLowerCase()}` });
    const strongest = make("table", { className: "strongest" });
    const texts = group.crossed ? ["target", "source"] : [null];
    const spans = {};
    const blocks = texts.flatMap((side) => {
      const text = textBlock(group, side, spans);
      return side ? [make("p", { className: "side", textContent: side === "target" ? "targets" : "sources" }), text] : [text];
    });
    const body = map.values.some(Number.isFinite)
      ? [...blocks, make("div", { className: "scale" }, ["0", ramp, most]), make("div", { className: "detail" }, [canvas, strongest])]
      : [make("p", { className: "absent", textContent: "Not defined in this layer, so there is nothing to show." })];
    card.append(make("h2", { textContent: measures[measure].title }),
      make("p", { className: "formula", textContent: formulaOf(measure) }), ...body);
    watchCanvas(canvas, map);
    return { card, measure, map, ramp, most, canvas, strongest, spans };
  });
  byId("cards").replaceChildren(...cards.map(({ card }) => card));
  paint();
}

function textBlock(group, side, spans) {
  const tokens = side === "source" ? group.sources : group.targets;
  const elements = tokens.map((token, place) => {
    const span = make("span", { className: `token ${token.category === "special" ? "special" : ""} ${token.joined ? "joined" : ""}`,
      textContent: token.text, tabIndex: place ? -1 : 0, role: "button" });
    const choice = () => ({ place, side: side || sideOfDirection() });
    span.onmouseenter = (event) => {
      if (state.token === null) hover(choice());
      else tipForToken(event, choice());
    };
    span.onfocus = () => { if (span.matches(":focus-visible")) hover(choice()); };
    span.onmouseleave = span.onblur = () => {
      if (hovered) hover(null);
      hideTip();
    };
    span.onclick = () => keep(choice());
    span.onkeydown = (event) => moveOn(event, elements, place, choice());
    return span;
  });
  if (side) spans[side] = elements;
  else spans.source = spans.target = elements;
  return make("div", { className: "text" }, elements.flatMap((span, place) => (place && !tokens[place].joined ? [" ", span] : [span])));
}

function moveOn(event, elements, place, choice) {
  const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  const next = by && elements[place + by];
  if (next) {
    elements[place].tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  } else if (event.key === "Enter" || event.key === " ") keep(choice);
  else return;
  event.preventDefault();
}

function hover(choice) {
  hovered = choice;
  paint();
}

function keep(choice) {
  const again = state.token === choice.place && (!current().crossed || state.side === choice.side);
  hovered = null;
  Object.assign(state, again ? { token: null, side: null } : { token: choice.place, side: choice.side });
  remember();
  paint();
}

function paint() {
  const group = current();
  const chosen = chosenToken();
  for (const { card, measure, map, ramp, most, canvas, strongest, spans } of cards) {
    const { side, shares, extra, largest } = profile(map, chosen);
    for (const span of new Set([...spans.source, ...spans.target])) {
      span.style.background = span.style.color = "";
      span.classList.remove("chosen");
    }
    spans[side].forEach((span, place) => {
      const color = colorAt(measure, largest ? shares[place] / largest : 0);
      span.style.background = css(color);
      span.style.color = inkOn(color);
    });
    if (chosen) spans[chosen.side][chosen.place].classList.add("chosen");
    ramp.style.background = `linear-gradient(to right, ${[0, 0.25, 0.5, 0.75, 1].map((at) => css(colorAt(measure, at))).join(", ")})`;
    most.textContent = percent(largest);
    if (canvas.isConnected) drawMatrix(canvas, card, map, group, measure, chosen);
    listStrongest(strongest, group, side, shares, extra, map.extraName, chosen);
  }
  sayWhatIsShown(group, chosen);
}

function listStrongest(table, group, side, shares, extra, extraName, chosen) {
  const tokens = side === "source" ? group.sources : group.targets;
  const entries = [...shares].map((share, place) => ({ share, text: tokens[place].text, special: tokens[place].category === "special" }));
  if (extra !== null) entries.push({ share: extra, text: extraName, special: true });
  entries.sort((one, other) => (other.share || 0) - (one.share || 0));
  const top = entries[0].share || 1;
  const caption = !chosen ? "strongest sources, mean over targets" : side === "source" ? "strongest sources" : "targets that receive most";
  table.replaceChildren(make("caption", { textContent: caption }), ...entries.slice(0, 10).map((entry) => {
    const bar = make("i");
    bar.style.width = `${(100 * (entry.share || 0)) / top}%`;
    return make("tr", {}, [
      make("td", { className: `name ${entry.special ? "special" : ""}`, textContent: entry.text, title: entry.text }),
      make("td", { className: "bar" }, [bar]), make("td", { className: "number", textContent: percent(entry.share) })]);
  }));
}

function sayWhatIsShown(group, chosen) {
  const line = byId("sentence-line");
  if (!chosen) line.replaceChildren("Which tokens feed the others, on average over all targets? Point at a token to see its own sources.");
  else {
    const token = (chosen.side === "target" ? group.targets : group.sources)[chosen.place];
    const word = make("mark", { textContent: token.text });
    line.replaceChildren(...(chosen.side === "target" ? ["Where does the new vector of ", word, " come from?"] : ["Where does the vector of ", word, " go?"]));
  }
}
