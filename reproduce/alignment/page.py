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

Result = Mapping[str, Any]

CURVE_COLUMNS = [f"{setting.upper()} {column}" for setting in SETTINGS for column in (*MEASURES, "auto")]
COMBINATIONS = ["one direction", "the other direction", "intersection", "union", "grow-diag", "grow-diag-final-and"]
_DIRECTIONS = {"forward": "one direction", "reverse": "the other direction"}
_TRIED = [(how, balance) for how in ("one direction", "grow-diag") for balance in (0.0, 0.5, 1.0)]


def page(kept: Mapping[str, Any]) -> str:
    """Lay out all measurements."""
    models = dict(_named(kept, "model"))
    unguided = [
        result
        for result in models.values()
        if kind_of(result["training"]["settings"]) == "unguided" and from_german(result)
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
        aligners=_aligners(kept),
        combinations=COMBINATIONS,
        ahead=list(_ahead(kept)),
        readings=_readings(kept),
        settings=[f"{how}, balance {balance:g}" for how, balance in _TRIED],
        chosen=[_chosen(_label(name), result) for name, result in _named(kept, "ways")],
        curves=_curves(kept),
        curve_columns=CURVE_COLUMNS,
    )


def _named(kept: Mapping[str, Any], kind: str) -> Iterator[tuple[str, Result]]:
    """The results whose names begin with a kind, by the rest of their names."""
    for name, result in kept.items():
        if name.startswith(f"{kind} "):
            yield name.removeprefix(f"{kind} "), result


def _label(name: str) -> str:
    """The models in the name of a result."""
    return name.replace(" ", " + ")


def _auto(result: Result, setting: Setting, rule: str | None = None) -> int:
    return int(np.argmax(result["rules"][setting][rule or DEFAULT_RULES[setting]]))


def _at(result: Result, measure: str, setting: str, layer: int) -> float:
    return float(
        next(
            row["aer"]
            for row in result["table"]
            if (row["measure"], row["setting"], row["head"], row["layer"]) == (measure, setting, None, layer)
        )
    )


def _spread(values: Sequence[float]) -> str:
    """Mean and range over seeds."""
    if not values:
        return "–"
    mean = f"{np.mean(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.1f}–{max(values):.1f})"


def _beside_paper(models: Sequence[Result]) -> list[list[str]]:
    """Published numbers beside ours: the mean of all layers, the best layer, the layer of the highest norm, and `auto`."""
    rows = []
    for setting in SETTINGS:
        for measure in MEASURES:
            theirs = ALIGNMENT_AER[setting, measure]
            aer = {
                "layer mean": [layer_mean(result["table"], measure, setting) for result in models],
                "best layer": [best(result["table"], measure, setting)["aer"] for result in models],
                "layer of highest norm": [
                    _at(result, measure, setting, _auto(result, setting, "norm")) for result in models
                ],
                "auto": [_at(result, measure, setting, _auto(result, setting)) for result in models],
            }
            for layers, ours in aer.items():
                paper = theirs.get(layers)
                rows.append([setting.upper(), measure, layers, "–" if paper is None else str(paper), _spread(ours)])
    return rows


def _models(models: Mapping[str, Result]) -> list[list[str]]:
    rows = []
    for name, result in models.items():
        training = result["training"]
        cells = [name, f"{training['cpu_seconds'] / 60:.0f} min", f"{training['bleu']} / {training['chrf']}"]
        for setting in SETTINGS:
            for measure in MEASURES:
                layers = sorted({row["layer"] for row in result["table"]})
                cells.append(" ".join(f"{_at(result, measure, setting, layer):.1f}" for layer in layers))
        rows.append(cells)
    return rows


def _differences(models: Mapping[str, Result]) -> list[list[str]]:
    """AER by norm minus AER by weight, layer by layer, with its interval over sentences, where measured."""
    rows = []
    for name, result in models.items():
        if not any("minus_weight" in row for row in result["table"]):
            continue
        for setting in SETTINGS:
            difference = {
                row["layer"]: row["minus_weight"]
                for row in result["table"]
                if (row["measure"], row["setting"], row["head"]) == ("norm", setting, None)
            }
            rows.append([name, setting.upper(), *(_interval(difference[layer]) for layer in sorted(difference))])
    return rows


def _interval(difference: Mapping[str, Any]) -> str:
    low, high = difference["interval"]
    return f"{difference['aer']:+.1f} ({low:+.1f} to {high:+.1f})"


def _rules(models: Mapping[str, Result], setting: Setting) -> dict[str, Any]:
    """Loss of AER of each rule against the best layer, by norm."""
    names = sorted({rule for result in models.values() for rule in result["rules"][setting]})
    rows = []
    for name, result in models.items():
        lowest = best(result["table"], "norm", setting)
        costs = [f"{_auto(result, setting, rule)} (+{_loss(result, setting, rule):.1f})" for rule in names]
        rows.append([name, f"{lowest['layer']} ({lowest['aer']:.1f})", *costs])
    return {"setting": setting.upper(), "default": DEFAULT_RULES[setting], "names": names, "rows": rows}


def _loss(result: Result, setting: Setting, rule: str | None = None) -> float:
    """Loss of AER of the layer chosen by a rule against the best one, by norm."""
    return _at(result, "norm", setting, _auto(result, setting, rule)) - float(
        best(result["table"], "norm", setting)["aer"]
    )


def _heads(models: Mapping[str, Result]) -> list[list[str]]:
    rows = []
    for name, result in models.items():
        for setting in SETTINGS:
            heads = [row for row in result["table"] if row["head"] is not None and row["setting"] == setting]
            cells = [name, setting.upper()]
            for measure in MEASURES:
                lowest = min((row for row in heads if row["measure"] == measure), key=lambda row: row["aer"])
                cells.append(f"{lowest['aer']:.1f} (layer {lowest['layer']}, head {lowest['head']})")
            rows.append([*cells, f"{result['correlation'][setting]:+.2f}"])
    return rows


def _aligners(kept: Mapping[str, Any]) -> list[list[str]]:
    """AER of every combination of two directions, by other aligners and by ours."""
    published = {_DIRECTIONS.get(how, how): aer for how, aer in FAST_ALIGN_AER.items()}
    rows = [["fast_align", "", *_cells(published)]]
    for _, result in _named(kept, "eflomal"):
        runs = [{_DIRECTIONS.get(row["how"], row["how"]): row["aer"] for row in table} for table in result["tables"]]
        cells = [_spread([run[how] for run in runs]) for how in COMBINATIONS]
        drawn = f"; mean and range of {len(runs)} runs" if len(runs) > 1 else ""
        rows.append([f"eflomal, {result['pairs']:,} pairs ({result['settings']['texts']}){drawn}", "", *cells])
    for name, result in _named(kept, "directions"):
        for balance in _balances(result):
            aer = {row["how"]: row["aer"] for row in result["table"] if row["balance"] == balance}
            agreement = f"{balance:g} (directions agree: {result['agreement'][str(balance)]:.3f})"
            rows.append([_label(name), agreement, *_cells(aer)])
    return rows


def _ahead(kept: Mapping[str, Any]) -> Iterator[str]:
    """AER minus that of eflomal, where measured."""
    for name, result in _named(kept, "directions"):
        for balance in _balances(result):
            for row in result["table"]:
                joined = row["how"] in ("intersection", "grow-diag") and "minus_rival" in row
                if row["balance"] == balance and joined:
                    yield f"* {_label(name)}, balance {balance:g}, {row['how']}: {_interval(row['minus_rival'])}"


def _balances(result: Result) -> list[float]:
    return sorted({row["balance"] for row in result["table"]})


def _cells(aer: Mapping[str, float]) -> list[str]:
    return [f"{aer[how]:.1f}" if how in aer else "–" for how in COMBINATIONS]


def _readings(kept: Mapping[str, Any]) -> list[list[str]]:
    """Every reading of a model or two."""
    rows = []
    for name, result in _named(kept, "ways"):
        aer = {(r["reading"], r["how"], r["balance"], r["threshold"]): r["aer"] for r in result["ways"]}
        for reading in dict.fromkeys(row["reading"] for row in result["ways"]):
            cells = (aer[reading, how, balance, 0.0] for how, balance in _TRIED)
            rows.append([_label(name), reading, *(f"{value:.1f}" for value in cells)])
    return rows


def _chosen(label: str, result: Result) -> dict[str, str]:
    """The reading chosen on held-out pairs, and the lowest AER of all readings."""
    choice, lowest = result["chosen"], min(result["ways"], key=lambda row: float(row["aer"]))
    low, high = choice["interval"]
    threshold = f" at {choice['threshold']:g}" if choice["threshold"] else ""
    rival = f", {_interval(choice['minus_rival'])} from eflomal's grow-diag" if "minus_rival" in choice else ""
    return {
        "label": label,
        "reading": f"{choice['reading']}, balance {choice['balance']:g}, {choice['how']}{threshold}",
        "aer": f"{choice['aer']:.1f}",
        "rival": f" ({low:.1f} to {high:.1f}){rival}",
        "count": str(len(result["ways"])),
        "lowest": f"{lowest['aer']:.1f} ({lowest['reading']}, balance {lowest['balance']:g}, {lowest['how']})",
    }


def _curves(kept: Mapping[str, Any]) -> list[list[str]]:
    rows = []
    for name, result in _named(kept, "curve"):
        for point in result["points"]:
            cells = [name, f"{point['minutes']:.0f}", f"{point['pairs']:,}"]
            for setting in SETTINGS:
                cells += [f"{best(point['table'], measure, setting)['aer']:.1f}" for measure in MEASURES]
                cells.append(f"+{_loss(point, setting):.1f}")
            rows.append(cells)
    return rows
