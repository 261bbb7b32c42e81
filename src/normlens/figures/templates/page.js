// Numbers at the pointer, the address that remembers a choice, and the events that start it all.

const tip = byId("tip");
const hideTip = () => { tip.hidden = true; };
const bothMaps = { key: "", maps: {} };

function mapsForTip() {
  const key = JSON.stringify([state.group, state.layer, state.head, state.scope]);
  if (bothMaps.key !== key) {
    Object.assign(bothMaps, { key, maps: { weight: mapOf(current(), state, "weight"), norm: mapOf(current(), state, "norm") } });
  }
  return bothMaps.maps;
}

function showTip(event, { target, source }) {
  const group = current();
  const { weight, norm } = mapsForTip();
  const place = target * weight.sources + source;
  const lines = [
    `${group.sources[source].text} → ${group.targets[target].text}`,
    `weight ${digits(weight.values[place])}  (${percent(weight.shares[place])})`,
    `norm ${digits(norm.values[place])}  (${percent(norm.shares[place])})`,
  ];
  if (state.head !== "all" && state.layer !== "all") {
    const plane = state.layer * group.heads.length + state.head;
    lines.push(`‖f(x)‖ ${digits(array(group, "vector_norm").values[plane * weight.sources + source])}`);
  }
  tip.textContent = lines.join("\n");
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  tip.style.left = `${Math.min(event.clientX + 14, window.innerWidth - width - 8)}px`;
  tip.style.top = `${event.clientY + 18 + height > window.innerHeight ? event.clientY - height - 12 : event.clientY + 18}px`;
}

function tipForToken(event, other) {
  const chosen = chosenToken();
  if (!chosen) return;
  if (current().crossed && other.side === chosen.side) return;
  showTip(event, chosen.side === "target" ? { target: chosen.place, source: other.place } : { target: other.place, source: chosen.place });
}

function watchCanvas(canvas, map) {
  canvas.onmousemove = (event) => {
    const square = squareAt(canvas, event, map);
    if (square) showTip(event, square);
    else hideTip();
  };
  canvas.onmouseleave = hideTip;
  canvas.onclick = (event) => {
    const square = squareAt(canvas, event, map);
    if (!square) return;
    const side = current().crossed ? "target" : sideOfDirection();
    keep({ place: square[side], side });
  };
}

function change(changes) {
  hovered = null;
  Object.assign(state, changes);
  if (state.head !== "all") state.scope = "attention";
  if (!scopesOf(current()).includes(state.scope)) state.scope = "attention";
  remember();
  hideTip();
  fillControls();
  build();
}

function remember() {
  const group = current();
  const words = new URLSearchParams({ group: group.name, measure: state.measure, scope: state.scope, direction: state.direction });
  words.set("layer", state.layer === "all" ? "all" : group.layers[state.layer]);
  words.set("head", state.head === "all" ? "all" : group.heads[state.head]);
  if (state.token !== null) words.set("token", state.token);
  if (state.token !== null && group.crossed) words.set("side", state.side);
  try {
    window.history.replaceState(null, "", `#${words}`);
  } catch {
    // a page shown inside another may not change its address; the choice holds all the same
  }
}

function recall() {
  const words = new URLSearchParams(window.location.hash.slice(1));
  const among = (name, allowed, otherwise) => (allowed.includes(words.get(name)) ? words.get(name) : otherwise);
  const place = (name, numbers) => {
    const found = numbers.map(String).indexOf(words.get(name));
    return found < 0 ? "all" : found;
  };
  state.group = Math.max(0, groups.findIndex((group) => group.name === words.get("group")));
  const group = current();
  state.measure = among("measure", ["both", "weight", "norm"], "both");
  state.direction = among("direction", ["in", "out"], "in");
  state.layer = place("layer", group.layers);
  state.head = place("head", group.heads);
  state.scope = among("scope", state.head === "all" ? scopesOf(group) : ["attention"], "attention");
  state.side = among("side", ["target", "source"], "target");
  const tokens = group.crossed && state.side === "source" ? group.sources : group.targets;
  const token = Number(words.get("token") ?? NaN);
  state.token = Number.isInteger(token) && token >= 0 && token < tokens.length ? token : null;
}

function start() {
  recall();
  fillControls();
  build();
}

document.querySelectorAll("[data-step]").forEach((button) => {
  button.onclick = () => step(button.dataset.of, Number(button.dataset.step));
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") change({ token: null, side: null });
});
window.addEventListener("hashchange", start);
window.addEventListener("resize", () => paint());
darkness.addEventListener("change", () => paint());
start();
