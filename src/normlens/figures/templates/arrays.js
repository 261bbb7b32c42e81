// The numbers: unpacked from base64 float16, and the maps (target x source) that a choice of layer and head stands for.

const halfTable = (() => {
  const table = new Float32Array(65536);
  for (let bits = 0; bits < 65536; bits += 1) {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    if (exponent === 0) table[bits] = sign * fraction * 2 ** -24;
    else if (exponent === 31) table[bits] = fraction ? NaN : sign * Infinity;
    else table[bits] = sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  }
  return table;
})();

function unpack({ shape, scale, data }) {
  const bytes = atob(data);
  const values = new Float32Array(bytes.length / 2);
  for (let place = 0; place < values.length; place += 1) {
    values[place] = scale * halfTable[bytes.charCodeAt(2 * place) | (bytes.charCodeAt(2 * place + 1) << 8)];
  }
  return { shape, values };
}

const { groups, scopes } = JSON.parse(document.getElementById("payload").textContent);
const scopeNamed = (name) => scopes.find((scope) => scope.name === name);
const unpacked = new Map();

function array(group, name) {
  const key = `${group.name}/${name}`;
  if (!unpacked.has(key)) unpacked.set(key, group.arrays[name] ? unpack(group.arrays[name]) : null);
  return unpacked.get(key);
}

// The mean of several stretches of an array, NaN left out: layers that lack a head or a scope don't count.
function meanOf(values, starts, length) {
  const sum = new Float64Array(length);
  const count = new Uint32Array(length);
  for (const start of starts) {
    for (let place = 0; place < length; place += 1) {
      const value = values[start + place];
      if (Number.isFinite(value)) {
        sum[place] += value;
        count[place] += 1;
      }
    }
  }
  return sum.map((total, place) => (count[place] ? total / count[place] : NaN));
}

const places = (chosen, total) => (chosen === "all" ? [...Array(total).keys()] : [chosen]);

function headStarts(group, state, length) {
  const heads = group.heads.length;
  return places(state.layer, group.layers.length).flatMap((layer) =>
    places(state.head, heads).map((head) => (layer * heads + head) * length));
}

function weightedNorm(group, state) {
  const [targets, sources] = [group.targets.length, group.sources.length];
  const stored = array(group, "weighted_norm");
  if (stored) return meanOf(stored.values, headStarts(group, state, targets * sources), targets * sources);
  const weight = array(group, "weight").values;
  const vectorNorm = array(group, "vector_norm").values;
  const product = (layer) => {
    const plane = layer * group.heads.length + state.head;
    return Float64Array.from({ length: targets * sources }, (_, place) =>
      weight[plane * targets * sources + place] * vectorNorm[plane * sources + (place % sources)]);
  };
  const layers = places(state.layer, group.layers.length).map(product);
  const joined = new Float64Array(layers.length * targets * sources);
  layers.forEach((plane, number) => joined.set(plane, number * targets * sources));
  return meanOf(joined, layers.map((_, number) => number * targets * sources), targets * sources);
}

function perTarget(group, state, name, byHead) {
  const stored = array(group, name);
  if (!stored) return null;
  const length = group.targets.length;
  const starts = byHead ? headStarts(group, state, length)
    : places(state.layer, group.layers.length).map((layer) => layer * length);
  return meanOf(stored.values, starts, length);
}

// values (target x source), the vectorless or own source of each target, and the total of each row
function mapOf(group, state, measure) {
  const [targets, sources] = [group.targets.length, group.sources.length];
  const size = targets * sources;
  let values;
  let extra = null;
  let extraName = "";
  if (measure === "weight") {
    values = meanOf(array(group, "weight").values, headStarts(group, state, size), size);
    extra = perTarget(group, state, "sink_weight", true);
    extraName = "attention sink";
  } else if (state.head !== "all") {
    values = weightedNorm(group, state);
  } else {
    const layers = places(state.layer, group.layers.length);
    values = meanOf(array(group, scopeNamed(state.scope).variable).values, layers.map((layer) => layer * size), size);
    if (state.scope !== "attention") {
      extra = perTarget(group, state, `own_${state.scope}`, false);
      extraName = "own vector";
    }
  }
  const total = new Float64Array(targets);
  let largest = 0;
  for (let target = 0; target < targets; target += 1) {
    for (let source = 0; source < sources; source += 1) total[target] += values[target * sources + source] || 0;
    if (extra) total[target] += extra[target] || 0;
  }
  const shares = values.map((value, place) => {
    const whole = total[Math.floor(place / sources)];
    const share = whole > 0 ? value / whole : value * 0;
    if (share > largest) largest = share;
    return share;
  });
  const extraShares = extra && extra.map((value, target) => (total[target] > 0 ? value / total[target] : 0));
  return { values, shares, extra, extraShares, extraName, largest, targets, sources };
}
