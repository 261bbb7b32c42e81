"""The page of `reproduce.alignment.table`: the numbers that ``page.md.jinja`` shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from normlens.alignment.layer_rules import DEFAULT_RULES
from reproduce.alignment.figures import from_german, kind_of
from reproduce.alignment.models import MEASURES, SETTINGS, Setting, best, layer_mean
from reproduce.study.page import fill
from reproduce.study.published import ALIGNMENT_AER, FAST_ALIGN_AER, KOBAYASHI_2020

Part = Mapping[str, Any]

CURVE_COLUMNS = [f"{setting.upper()} {column}" for setting in SETTINGS for column in (*MEASURES, "auto")]
COMBINATIONS = ["one direction", "the other direction", "intersection", "union", "grow-diag", "grow-diag-final-and"]
_DIRECTIONS = {"forward": "one direction", "reverse": "the other direction"}
_TRIED = [(how, balance) for how in ("one direction", "grow-diag") for balance in (0.0, 0.5, 1.0)]


def page(parts: Mapping[str, Any]) -> str:
    """Lay out all measurements."""
    models = dict(_named(parts, "model"))
    unguided = [
        part for part in models.values() if kind_of(part["training"]["settings"]) == "unguided" and from_german(part)
    ]
    differences = _differences(models)
    return fill(
        "alignment/page.md.jinja",
        source=KOBAYASHI_2020,
        seeds=f"{len(unguided)} seed{'s' if len(unguided) != 1 else ''}",
        beside_paper=_beside_paper(unguided),
        differences=differences,
        layers=[f"layer {layer}" for layer in range(len(differences[0]) - 2)] if differences else [],
        models=_models(models),
        columns=[f"{setting.upper()} {measure}" for setting in SETTINGS for measure in MEASURES],
        rules=[_rules(models, setting) for setting in SETTINGS],
        heads=_heads(models),
        aligners=_aligners(parts),
        combinations=COMBINATIONS,
        ahead=list(_ahead(parts)),
        readings=_readings(parts),
        settings=[f"{how}, balance {balance:g}" for how, balance in _TRIED],
        chosen=[_chosen(_label(name), part) for name, part in _named(parts, "ways")],
        curves=_curves(parts),
        curve_columns=CURVE_COLUMNS,
    )


def _named(parts: Mapping[str, Any], kind: str) -> Iterator[tuple[str, Part]]:
    """The parts whose names begin with a kind, by the rest of their names."""
    for name, part in parts.items():
        if name.startswith(f"{kind} "):
            yield name.removeprefix(f"{kind} "), part


def _label(name: str) -> str:
    """The models in the name of a result."""
    return name.replace(" ", " + ")


def _auto(part: Part, setting: Setting, rule: str | None = None) -> int:
    return int(np.argmax(part["rules"][setting][rule or DEFAULT_RULES[setting]]))


def _at(part: Part, measure: str, setting: str, layer: int) -> float:
    return float(
        next(
            row["aer"]
            for row in part["table"]
            if (row["measure"], row["setting"], row["head"], row["layer"]) == (measure, setting, None, layer)
        )
    )


def _spread(values: Sequence[float]) -> str:
    """Mean and range over seeds."""
    if not values:
        return "–"
    mean = f"{np.mean(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.1f}–{max(values):.1f})"


def _beside_paper(models: Sequence[Part]) -> list[list[str]]:
    """Published numbers beside ours: the mean of all layers, the best layer, the layer of the highest norm, and `auto`."""
    rows = []
    for setting in SETTINGS:
        for measure in MEASURES:
            theirs = ALIGNMENT_AER[setting, measure]
            aer = {
                "layer mean": [layer_mean(part["table"], measure, setting) for part in models],
                "best layer": [best(part["table"], measure, setting)["aer"] for part in models],
                "layer of highest norm": [_at(part, measure, setting, _auto(part, setting, "norm")) for part in models],
                "auto": [_at(part, measure, setting, _auto(part, setting)) for part in models],
            }
            for layers, ours in aer.items():
                paper = theirs.get(layers)
                rows.append([setting.upper(), measure, layers, "–" if paper is None else str(paper), _spread(ours)])
    return rows


def _models(models: Mapping[str, Part]) -> list[list[str]]:
    rows = []
    for name, part in models.items():
        training = part["training"]
        cells = [name, f"{training['cpu_seconds'] / 60:.0f} min", f"{training['bleu']} / {training['chrf']}"]
        for setting in SETTINGS:
            for measure in MEASURES:
                layers = sorted({row["layer"] for row in part["table"]})
                cells.append(" ".join(f"{_at(part, measure, setting, layer):.1f}" for layer in layers))
        rows.append(cells)
    return rows


def _differences(models: Mapping[str, Part]) -> list[list[str]]:
    """AER by norm minus AER by weight, layer by layer, with its interval over sentences, where measured."""
    rows = []
    for name, part in models.items():
        if not any("minus_weight" in row for row in part["table"]):
            continue
        for setting in SETTINGS:
            difference = {
                row["layer"]: row["minus_weight"]
                for row in part["table"]
                if (row["measure"], row["setting"], row["head"]) == ("norm", setting, None)
            }
            rows.append([name, setting.upper(), *(_interval(difference[layer]) for layer in sorted(difference))])
    return rows


def _interval(difference: Mapping[str, Any]) -> str:
    low, high = difference["interval"]
    return f"{difference['aer']:+.1f} ({low:+.1f} to {high:+.1f})"


def _rules(models: Mapping[str, Part], setting: Setting) -> dict[str, Any]:
    """Loss of AER of each rule against the best layer, by norm."""
    names = sorted({rule for part in models.values() for rule in part["rules"][setting]})
    rows = []
    for name, part in models.items():
        lowest = best(part["table"], "norm", setting)
        costs = [f"{_auto(part, setting, rule)} (+{_loss(part, setting, rule):.1f})" for rule in names]
        rows.append([name, f"{lowest['layer']} ({lowest['aer']:.1f})", *costs])
    return {"setting": setting.upper(), "default": DEFAULT_RULES[setting], "names": names, "rows": rows}


def _loss(part: Part, setting: Setting, rule: str | None = None) -> float:
    """Loss of AER of the layer chosen by a rule against the best one, by norm."""
    return _at(part, "norm", setting, _auto(part, setting, rule)) - float(best(part["table"], "norm", setting)["aer"])


def _heads(models: Mapping[str, Part]) -> list[list[str]]:
    rows = []
    for name, part in models.items():
        for setting in SETTINGS:
            heads = [row for row in part["table"] if row["head"] is not None and row["setting"] == setting]
            cells = [name, setting.upper()]
            for measure in MEASURES:
                lowest = min((row for row in heads if row["measure"] == measure), key=lambda row: row["aer"])
                cells.append(f"{lowest['aer']:.1f} (layer {lowest['layer']}, head {lowest['head']})")
            rows.append([*cells, f"{part['correlation'][setting]:+.2f}"])
    return rows


def _aligners(parts: Mapping[str, Any]) -> list[list[str]]:
    """AER of every combination of two directions, by other aligners and by ours."""
    published = {_DIRECTIONS.get(how, how): aer for how, aer in FAST_ALIGN_AER.items()}
    rows = [["fast_align", "", *_cells(published)]]
    for _, part in _named(parts, "eflomal"):
        runs = [{_DIRECTIONS.get(row["how"], row["how"]): row["aer"] for row in table} for table in part["tables"]]
        cells = [_spread([run[how] for run in runs]) for how in COMBINATIONS]
        drawn = f"; mean and range of {len(runs)} runs" if len(runs) > 1 else ""
        rows.append([f"eflomal, {part['pairs']:,} pairs ({part['settings']['texts']}){drawn}", "", *cells])
    for name, part in _named(parts, "directions"):
        for balance in _balances(part):
            aer = {row["how"]: row["aer"] for row in part["table"] if row["balance"] == balance}
            agreement = f"{balance:g} (directions agree: {part['agreement'][str(balance)]:.3f})"
            rows.append([_label(name), agreement, *_cells(aer)])
    return rows


def _ahead(parts: Mapping[str, Any]) -> Iterator[str]:
    """AER minus that of eflomal, where measured."""
    for name, part in _named(parts, "directions"):
        for balance in _balances(part):
            for row in part["table"]:
                joined = row["how"] in ("intersection", "grow-diag") and "minus_rival" in row
                if row["balance"] == balance and joined:
                    yield f"* {_label(name)}, balance {balance:g}, {row['how']}: {_interval(row['minus_rival'])}"


def _balances(part: Part) -> list[float]:
    return sorted({row["balance"] for row in part["table"]})


def _cells(aer: Mapping[str, float]) -> list[str]:
    return [f"{aer[how]:.1f}" if how in aer else "–" for how in COMBINATIONS]


def _readings(parts: Mapping[str, Any]) -> list[list[str]]:
    """Every reading of a model or two."""
    rows = []
    for name, part in _named(parts, "ways"):
        aer = {(r["reading"], r["how"], r["balance"], r["threshold"]): r["aer"] for r in part["ways"]}
        for reading in dict.fromkeys(row["reading"] for row in part["ways"]):
            cells = (aer[reading, how, balance, 0.0] for how, balance in _TRIED)
            rows.append([_label(name), reading, *(f"{value:.1f}" for value in cells)])
    return rows


def _chosen(label: str, part: Part) -> dict[str, str]:
    """The reading chosen on held-out pairs, and the lowest AER of all readings."""
    choice, lowest = part["chosen"], min(part["ways"], key=lambda row: float(row["aer"]))
    low, high = choice["interval"]
    threshold = f" at {choice['threshold']:g}" if choice["threshold"] else ""
    rival = f", {_interval(choice['minus_rival'])} from eflomal's grow-diag" if "minus_rival" in choice else ""
    return {
        "label": label,
        "reading": f"{choice['reading']}, balance {choice['balance']:g}, {choice['how']}{threshold}",
        "aer": f"{choice['aer']:.1f}",
        "rival": f" ({low:.1f} to {high:.1f}){rival}",
        "count": str(len(part["ways"])),
        "lowest": f"{lowest['aer']:.1f} ({lowest['reading']}, balance {lowest['balance']:g}, {lowest['how']})",
    }


def _curves(parts: Mapping[str, Any]) -> list[list[str]]:
    rows = []
    for name, part in _named(parts, "curve"):
        for point in part["points"]:
            cells = [name, f"{point['minutes']:.0f}", f"{point['pairs']:,}"]
            for setting in SETTINGS:
                cells += [f"{best(point['table'], measure, setting)['aer']:.1f}" for measure in MEASURES]
                cells.append(f"+{_loss(point, setting):.1f}")
            rows.append(cells)
    return rows
