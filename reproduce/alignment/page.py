"""The page of `reproduce.alignment.table`: tables between markers that the docs show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from normlens.alignment import DEFAULT_RULES
from reproduce.alignment.figures import from_german, kind_of
from reproduce.alignment.models import MEASURES, SETTINGS, Setting, best, layer_mean
from reproduce.study.page import markdown_table
from reproduce.study.published import ALIGNMENT_AER, FAST_ALIGN_AER, KOBAYASHI_2020


def page(parts: Mapping[str, Any]) -> str:
    """Lay out everything that was measured."""
    models = {name.removeprefix("model "): part for name, part in parts.items() if name.startswith("model ")}
    sections = [f"# Word alignment\n\nPublished numbers: {KOBAYASHI_2020}. AER in %, lower is better."]
    makers: list[tuple[str, str, Callable[[], str], bool]] = [
        ("Weight against norm", "paper", lambda: _beside_paper(_kind(models, "unguided")), True),
        ("Norm minus weight", "differences", lambda: _differences(models), any(map(_has_differences, models.values()))),
        ("Every model", "models", lambda: _models(models), bool(models)),
        ("Which layer, without annotated links", "rules", lambda: _rules(models), bool(models)),
        ("Heads", "heads", lambda: _heads(models), bool(models)),
        ("Two directions, and other aligners", "directions", lambda: _directions(parts), True),
        ("What else was tried", "ways", lambda: _ways(parts), any(name.startswith("ways ") for name in parts)),
        ("Along training", "curve", lambda: _curves(parts), any(name.startswith("curve ") for name in parts)),
    ]
    for title, marker, maker, there in makers:
        if there:
            sections.append(
                f"## {title}\n\n<!-- --8<-- [start:{marker}] -->\n{maker()}\n<!-- --8<-- [end:{marker}] -->"
            )
    return "\n\n".join(sections)


def _kind(models: Mapping[str, Any], kind: str) -> dict[str, Any]:
    return {
        name: part
        for name, part in models.items()
        if kind_of(part["training"]["settings"]) == kind and from_german(part)
    }


def _auto(part: Mapping[str, Any], setting: Setting, rule: str | None = None) -> int:
    return int(np.argmax(part["rules"][setting][rule or DEFAULT_RULES[setting]]))


def _at(part: Mapping[str, Any], measure: str, setting: str, layer: int) -> float:
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


def _beside_paper(models: Mapping[str, Any]) -> str:
    """Theirs beside ours: the mean of all layers, the best layer, the layer of the highest norm, and `auto`."""
    rows = []
    for setting in SETTINGS:
        for measure in MEASURES:
            theirs = ALIGNMENT_AER[setting, measure]
            found = {
                "layer mean": [layer_mean(part["table"], measure, setting) for part in models.values()],
                "best layer": [best(part["table"], measure, setting)["aer"] for part in models.values()],
                "layer of highest norm": [
                    _at(part, measure, setting, _auto(part, setting, "norm")) for part in models.values()
                ],
                "auto": [_at(part, measure, setting, _auto(part, setting)) for part in models.values()],
            }
            for what, ours in found.items():
                paper = theirs.get(what)
                rows.append([setting.upper(), measure, what, "–" if paper is None else str(paper), _spread(ours)])
    seeds = f"{len(models)} seed{'s' if len(models) != 1 else ''}"
    return markdown_table(["row", "measure", "layers", "paper (5 seeds)", f"ours ({seeds}: mean, range)"], rows)


def _models(models: Mapping[str, Any]) -> str:
    rows = []
    for name, part in models.items():
        training = part["training"]
        cells = [name, f"{training['cpu_seconds'] / 60:.0f} min", f"{training['bleu']} / {training['chrf']}"]
        for setting in SETTINGS:
            for measure in MEASURES:
                layers = sorted({row["layer"] for row in part["table"]})
                cells.append(" ".join(f"{_at(part, measure, setting, layer):.1f}" for layer in layers))
        rows.append(cells)
    ways = [f"{setting.upper()} {measure}" for setting in SETTINGS for measure in MEASURES]
    return "AER of each layer, first to last.\n\n" + markdown_table(["model", "processor", "BLEU / chrF", *ways], rows)


def _has_differences(part: Mapping[str, Any]) -> bool:
    return any("minus_weight" in row for row in part["table"])


def _differences(models: Mapping[str, Any]) -> str:
    """AER by norm minus AER by weight, layer by layer, with its interval over sentences, where that was measured."""
    rows = []
    for name, part in models.items():
        if not _has_differences(part):
            continue
        for setting in SETTINGS:
            apart = {
                row["layer"]: row["minus_weight"]
                for row in part["table"]
                if (row["measure"], row["setting"], row["head"]) == ("norm", setting, None)
            }
            rows.append([name, setting.upper(), *(_interval(apart[layer]) for layer in sorted(apart))])
    text = "AER by norm minus AER by weight, the same sentences drawn for both; below 0 where norm is better.\n\n"
    return text + markdown_table(["model", "row", *(f"layer {layer}" for layer in range(len(rows[0]) - 2))], rows)


def _interval(apart: Mapping[str, Any]) -> str:
    low, high = apart["interval"]
    return f"{apart['aer']:+.1f} ({low:+.1f} to {high:+.1f})"


def _rules(models: Mapping[str, Any]) -> str:
    """How much AER each rule loses against the best layer, by norm."""
    return "\n\n".join(_rules_of(models, setting) for setting in SETTINGS)


def _rules_of(models: Mapping[str, Any], setting: Setting) -> str:
    names = sorted({rule for part in models.values() for rule in part["rules"][setting]})
    rows = []
    for name, part in models.items():
        lowest = best(part["table"], "norm", setting)
        cells = [name, f"{lowest['layer']} ({lowest['aer']:.1f})"]
        for rule in names:
            layer = _auto(part, setting, rule)
            cells.append(f"{layer} (+{_loss(part, setting, rule):.1f})")
        rows.append(cells)
    text = f"{setting.upper()}, by norm: the layer that each rule chooses, and what it costs in AER; `auto` is "
    return f"{text}“{DEFAULT_RULES[setting]}”.\n\n" + markdown_table(["model", "best layer (AER)", *names], rows)


def _loss(part: Mapping[str, Any], setting: Setting, rule: str | None = None) -> float:
    """What the layer of a rule costs in AER against the best one, by norm."""
    return _at(part, "norm", setting, _auto(part, setting, rule)) - float(best(part["table"], "norm", setting)["aer"])


def _heads(models: Mapping[str, Any]) -> str:
    rows = []
    for name, part in models.items():
        for setting in SETTINGS:
            heads = [row for row in part["table"] if row["head"] is not None and row["setting"] == setting]
            cells = [name, setting.upper()]
            for measure in MEASURES:
                lowest = min((row for row in heads if row["measure"] == measure), key=lambda row: row["aer"])
                cells.append(f"{lowest['aer']:.1f} (layer {lowest['layer']}, head {lowest['head']})")
            rows.append([*cells, f"{part['correlation'][setting]:+.2f}"])
    headings = ["model", "row", "best head by weight", "best head by norm", "Spearman of AER with mean norm"]
    return markdown_table(headings, rows)


def _directions(parts: Mapping[str, Any]) -> str:
    ways = ("one direction", "the other direction", "intersection", "union", "grow-diag", "grow-diag-final-and")
    names = {"forward": "one direction", "reverse": "the other direction"}
    known = {names.get(how, how): aer for how, aer in FAST_ALIGN_AER.items()}
    rows, ahead = [["fast_align", "", *_cells(known, ways)]], []
    for name, part in parts.items():
        if name.startswith("eflomal "):
            runs = [{names.get(row["how"], row["how"]): row["aer"] for row in table} for table in part["tables"]]
            cells = [_spread([found[way] for found in runs]) for way in ways]
            drawn = f"; mean and range of {len(runs)} runs" if len(runs) > 1 else ""
            rows.append([f"eflomal, {part['pairs']:,} pairs ({part['settings']['texts']}){drawn}", "", *cells])
    for name, part in parts.items():
        if name.startswith("directions "):
            for balance in sorted({row["balance"] for row in part["table"]}):
                found = {row["how"]: row["aer"] for row in part["table"] if row["balance"] == balance}
                label = f"{balance:g} (directions agree: {part['agreement'][str(balance)]:.3f})"
                pair = name.removeprefix("directions ").replace(" ", " + ")
                rows.append([pair, label, *_cells(found, ways)])
                ahead += [
                    f"* {pair}, balance {balance:g}, {row['how']}: {_interval(row['minus_rival'])}"
                    for row in part["table"]
                    if row["balance"] == balance
                    and row["how"] in ("intersection", "grow-diag")
                    and "minus_rival" in row
                ]
    below = "\n\nAER minus that of a run of eflomal on the pair's text, joined the same way, with 95 % intervals:\n\n"
    return markdown_table(["aligner", "balance", *ways], rows) + (below + "\n".join(ahead) if ahead else "")


def _ways(parts: Mapping[str, Any]) -> str:
    """Every reading of a model or two, and what was chosen by held-out pairs."""
    hows, balances = ("one direction", "grow-diag"), (0.0, 0.5, 1.0)
    rows, chosen = [], []
    for name, part in parts.items():
        if name.startswith("ways "):
            label = name.removeprefix("ways ").replace(" ", " + ")
            aer = {(r["reading"], r["how"], r["balance"], r["threshold"]): r["aer"] for r in part["ways"]}
            for reading in dict.fromkeys(row["reading"] for row in part["ways"]):
                cells = (aer[reading, how, balance, 0.0] for how in hows for balance in balances)
                rows.append([label, reading, *(f"{value:.1f}" for value in cells)])
            chosen.append(_chosen(label, part))
    headings = ["model", "reading", *(f"{how}, balance {balance:g}" for how in hows for balance in balances)]
    return markdown_table(headings, rows) + "\n\n" + "\n".join(chosen)


def _chosen(label: str, part: Mapping[str, Any]) -> str:
    best = part["chosen"]
    threshold = f" at {best['threshold']:g}" if best["threshold"] else ""
    low, high = best["interval"]
    rival = f", {_interval(best['minus_rival'])} from eflomal's grow-diag" if "minus_rival" in best else ""
    lowest = min(part["ways"], key=lambda row: float(row["aer"]))
    return (
        f"* {label}: held-out pairs choose {best['reading']}, balance {best['balance']:g}, {best['how']}{threshold}: "
        f"**{best['aer']:.1f}** ({low:.1f} to {high:.1f}){rival}; the lowest of all {len(part['ways'])}, by the annotated "
        f"links, is {lowest['aer']:.1f} ({lowest['reading']}, balance {lowest['balance']:g}, {lowest['how']})."
    )


def _cells(found: Mapping[str, float], ways: Sequence[str]) -> list[str]:
    return [f"{found[way]:.1f}" if way in found else "–" for way in ways]


def _curves(parts: Mapping[str, Any]) -> str:
    rows = []
    for name, part in parts.items():
        if name.startswith("curve "):
            for point in part["points"]:
                cells = [name.removeprefix("curve "), f"{point['minutes']:.0f}", f"{point['pairs']:,}"]
                for setting in SETTINGS:
                    cells += [f"{best(point['table'], measure, setting)['aer']:.1f}" for measure in MEASURES]
                    cells.append(f"+{_loss(point, setting):.1f}")
                rows.append(cells)
    ways = [f"{setting.upper()} {what}" for setting in SETTINGS for what in (*MEASURES, "auto")]
    text = "AER of the best layer; under auto, what the layer that `auto` chooses costs by norm.\n\n"
    return text + markdown_table(["training", "processor minutes", "pairs seen", *ways], rows)
