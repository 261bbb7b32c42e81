"""The page of the study, from the kept numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reproduce.four_tests.page import number
from reproduce.negation.trees.contestants import CONTESTANTS, REFERENCE
from reproduce.negation.trees.learned_cues import FUNCTORS
from reproduce.study.page import fill

_SETS = {
    "negated": "negated phrases of test",
    "held_out": "held-out words",
    "held_out_short": "held-out words, scopes of at most four words",
}


def page(results: Mapping[str, Any]) -> str:
    """The page of all kept parts.

    Parameters
    ----------
    results
        Part to its numbers.
    """
    return fill(
        "negation/trees/page.md.jinja",
        titles=[_title(name) for name in (results.get("cues") or {"models": ()})["models"]],
        **{name: results.get(name) for name in ("labels", "models", "accuracy", "cues")},
        whole=_whole(results.get("accuracy")),
        sets=_sets(results.get("accuracy")),
        fits=_fits(results.get("labels")),
        choices=_choices(results.get("models")),
        domains=_domains(results.get("cues")),
        lines=_lines(results.get("cues")),
        values=_values(results.get("cues")),
        doubles=_doubles(results.get("cues")),
        label_groups=_label_groups(results.get("labels")),
        groups=_groups(results.get("cues")),
        functors=_functors(results.get("cues")),
        number=number,
    )


def _title(name: str) -> str:
    return CONTESTANTS[name].title


def _percent(estimate: Mapping[str, float], *, signed: bool = False) -> str:
    return number({end: 100 * estimate[end] for end in ("value", "low", "high")}, 1, signed=signed)


def _whole(accuracy: Mapping[str, Any] | None) -> list[list[str]]:
    if accuracy is None:
        return []
    table = accuracy["whole"]
    return [
        [_title(name), *(_percent(table[m]["models"][name]) for m in ("nodes", "roots"))] for name in _models(table)
    ]


def _models(table: Mapping[str, Any]) -> list[str]:
    """The models of a table of accuracies."""
    return list(next(iter(table.values()))["models"])


def _sets(accuracy: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """Set of phrases to its title, its number of pairs, and a row for each model."""
    if accuracy is None:
        return {}
    shown = {}
    for name, title in _SETS.items():
        table = accuracy[name]
        measures = [measure for measure in ("accuracy", "polarity", "direction", "flips") if measure in table]
        rows = []
        for model in _models(table):
            cells = [_percent(table[measure]["models"][model]) for measure in measures]
            rows.append([_title(model), *cells])
        for model in _models(table):
            if model != REFERENCE:
                cells = [_percent(table[measure]["less_reference"][model], signed=True) for measure in measures]
                rows.append([f"{_title(model)} less {_title(REFERENCE)}", *cells])
        heads = [f"{_MEASURES[measure]} ({table[measure]['pairs']})" for measure in measures]
        lines = [
            [
                _title(source) if source in CONTESTANTS else source,
                *(number(line[end], signed=True) for end in ("slope", "intercept")),
            ]
            for source, line in table["lines"].items()
        ]
        baseline = f"{100 * table['baseline']:.1f}"
        shown[name] = {"title": title, "heads": heads, "rows": rows, "baseline": baseline, "lines": lines}
    return shown


_MEASURES = {
    "accuracy": "label of five, %",
    "polarity": "sign, %",
    "direction": "direction, %",
    "flips": "both signs of a flip, %",
}


def _fits(labels: Mapping[str, Any] | None) -> list[list[str]]:
    if labels is None:
        return []
    return [
        [
            name,
            str(fit["pairs"]),
            number(fit["slope"], signed=True),
            number(fit["intercept"], signed=True),
            *("–" if mean is None else f"{mean:+.2f}".replace("-", "−") for mean in fit["means"].values()),
        ]
        for name, fit in labels["fits"].items()
    ]


def _label_groups(labels: Mapping[str, Any] | None) -> list[list[str]]:
    if labels is None:
        return []
    return [
        [name, str(fit["pairs"] or "–"), *(number(fit[end], signed=True) for end in ("slope", "intercept"))]
        for name, fit in labels["groups"].items()
    ]


def _choices(models: Mapping[str, Any] | None) -> list[list[str]]:
    if models is None:
        return []
    return [
        [
            row["title"],
            row["sizes"],
            f"{row['parameters']:,}",
            ", ".join(
                [
                    f"{row['learning_rate']:g}",
                    f"{row['weight_decay']:g}",
                    row["vectors"],
                    *filter(None, [row["variant"]]),
                ]
            ),
            _range(row["tried"]),
            _range(row["dev"]),
            f"{row['seconds']:.0f}",
        ]
        for row in models["models"].values()
    ]


def _range(shares: Sequence[float]) -> str:
    return f"{100 * min(shares):.1f} to {100 * max(shares):.1f}"


def _domains(cues: Mapping[str, Any] | None) -> list[list[str]]:
    """Distance moved over length, and the share whose own word stays the nearest."""
    if cues is None:
        return []
    return [
        [
            functor,
            *(
                f"{number(table[functor]['domain']['moved'], 2)}; {100 * table[functor]['domain']['nearest']['value']:.0f} %"
                for table in cues["models"].values()
            ),
        ]
        for functor in FUNCTORS
    ]


def _lines(cues: Mapping[str, Any] | None) -> list[list[str]]:
    if cues is None:
        return []
    return [
        [functor, *(_line(table[functor]["sentiment"]) for table in cues["models"].values())] for functor in FUNCTORS
    ]


def _line(fit: Mapping[str, Any]) -> str:
    return f"{number(fit['slope'], 2, signed=True)}; {number(fit['intercept'], 2, signed=True)}"


def _values(cues: Mapping[str, Any] | None) -> list[list[str]]:
    """μ of the structured model's value vectors, seed by seed, and what it explains."""
    if cues is None:
        return []
    return [
        [functor, *(_seeds(table[functor]["values"]["mu"]) for table in cues["models"].values())]
        for functor in FUNCTORS
    ]


def _seeds(values: Sequence[float]) -> str:
    return f"{min(values):+.2f} to {max(values):+.2f}".replace("-", "−")


def _doubles(cues: Mapping[str, Any] | None) -> list[list[str]]:
    if cues is None:
        return []
    return [
        [
            _title(name),
            number(table["double"]["slope"], 2, signed=True),
            number(table["double"]["intercept"], 2, signed=True),
            *(_percent(table["double"][share]) for share in ("same_sign", "weaker")),
        ]
        for name, table in cues["repeated"].items()
    ]


def _groups(cues: Mapping[str, Any] | None) -> list[list[str]]:
    """Slope and intercept of "not" by group of words, and the difference of the first two groups."""
    if cues is None:
        return []
    tables = [table["not"]["groups"] for table in cues["models"].values()]
    names = dict.fromkeys(name for table in tables for name in table)
    return [
        [
            f"{name} ({cues['groups'][name]})" if name in cues["groups"] else name,
            *(_line(table[name]) if name in table else "–" for table in tables),
        ]
        for name in names
    ]


def _functors(cues: Mapping[str, Any] | None) -> list[list[str]]:
    if cues is None:
        return []
    return [[functor, _seeds(values)] for functor, values in cues["functor"].items()]
