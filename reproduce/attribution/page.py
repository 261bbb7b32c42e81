"""The page of `reproduce.attribution.table`: the numbers that ``page.md.jinja`` shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from normlens.faithfulness import BASELINES, MEASURES
from reproduce.attribution.candidates import candidates, method_of
from reproduce.study.page import fill
from reproduce.study.published import (
    ALTI_RUN,
    ALTI_SST2,
    DECOMPX_SST2,
    GLOBENC_RUN,
    GLOBENC_SST2,
    MODARRESSI_2022,
    MODARRESSI_2023,
)

TASKS = {"sst": "SST", "ag_news": "AG News"}
BASELINE_NAMES = {
    "random": "random order",
    "first": "first words first",
    "last": "last words first",
    "length": "longest words first",
    "leave_one_out": "leave-one-out",
}
COMPARED = {"DecompX": "against", "DecompX, averaged": "averaged_against"}
"""The rows compared with all others, text by text, and the names of these sections."""

TO_BEAT = ("integrated gradients", "gradient × input", "ALTI", "GlobEnc (N-Enc)")
"""The methods that the exact method was expected to beat."""

Entry = Mapping[str, Any]
Numbers = dict[tuple[str, str, str], dict[str, Any]]


def page(kept: Mapping[str, Entry]) -> str:
    """All kept results, in sections for each task; docs include the sections by name."""
    return fill(
        "attribution/page.md.jinja",
        tasks=[{"name": task, "title": TASKS[task], **_task(entry)} for task, entry in kept.items()],
        sources={"globenc": f"{GLOBENC_RUN} ({MODARRESSI_2022})", "decompx": MODARRESSI_2023, "alti": ALTI_RUN},
        published=_published(),
    )


def _task(entry: Entry) -> dict[str, Any]:
    """The values of a task for the template; empty where not measured."""
    measured = "table" in entry
    return {
        **_about(entry),
        "table": _table(entry) if measured else [],
        "deletion": _deletion(entry) if measured else [],
        "against": _against(entry) if measured else {},
        "others": _others(entry) if "others" in entry else {},
        "saliency": _saliency(entry) if "saliency" in entry else [],
        "choices": _choices(entry) if "candidates" in entry else [],
    }


def _about(entry: Entry) -> dict[str, Any]:
    """The measurements, their texts and their cost, where kept."""
    about = {name: str(entry[name]) for name in ("data", "part", "by", "replacement", "seed") if name in entry}
    about |= {
        shown: f"{entry[name]:,}"
        for shown, name in {"texts": "test", "dev": "dev", "resamples": "resamples"}.items()
        if name in entry
    }
    training = entry.get("training", {})
    accuracies = {
        split: f"{100 * training[f'{split}_accuracy']:.1f} %"
        for split in ("dev", "test")
        if "test_accuracy" in training
    }
    return {
        **about,
        "right": f"{100 * entry['right']:.1f} %" if "right" in entry else "",
        "accuracies": accuracies,
        "costs": _cost_note(entry) if "costs" in entry else {},
        "refused": entry.get("refused", {}),
    }


def sorted_rows(entry: Entry, erasure: str = "mask") -> list[str]:
    """Rows of the table, the highest AOPC first."""
    numbers = _numbers(entry["table"])
    rows = dict.fromkeys(row["method"] for row in entry["table"])
    return sorted(rows, key=lambda row: -numbers[row, erasure, "aopc"]["value"])


def shown(row: str) -> str:
    """The label of a row."""
    return BASELINE_NAMES.get(row, row)


def aopc_cell(number: Mapping[str, Any]) -> str:
    """A number with its interval."""
    return _cell(number, "aopc")


def _numbers(table: list[dict[str, Any]]) -> Numbers:
    return {(row["method"], row["erasure"], row["measure"]): row for row in table}


def _table(entry: Entry) -> list[list[str]]:
    numbers = _numbers(entry["table"])
    return [
        [_named(row), *(_cell(numbers[row, "mask", measure], measure) for measure in MEASURES), *_costs(entry, row)]
        for row in sorted_rows(entry)
    ]


def _named(row: str) -> str:
    """A row's name; baselines in italics."""
    return f"*{shown(row)}*" if row in BASELINES else row


def _cost_note(entry: Entry) -> dict[str, str]:
    return {
        "texts": str(entry["cost_texts"]),
        "tokens": f"{entry['cost_tokens'] / entry['cost_texts']:.0f}",
        "threads": str(entry["threads"]),
        "forward": f"{entry['costs']['forward']['milliseconds']:.1f}",
    }


def _costs(entry: Entry, row: str) -> list[str]:
    cost = entry.get("costs", {}).get(entry["chosen"].get(row, ""))
    if cost is None:
        return ["–", "–"]
    memory = cost["mebibytes"]
    passes = cost["milliseconds"] / entry["costs"]["forward"]["milliseconds"]
    return [f"{passes:.1f}", "–" if memory is None else f"{memory:.0f}"]


def _cell(number: Mapping[str, Any], measure: str) -> str:
    if number["value"] is None:
        return "–"
    scale, digits = (100, 1) if measure == "accuracy" else (1, 3)
    value, low, high = (round(scale * number[name], digits) + 0.0 for name in ("value", "low", "high"))  # no −0
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _deletion(entry: Entry) -> list[list[str]]:
    numbers = _numbers(entry["table"])
    return [
        [_named(row), *(_cell(numbers[row, "delete", measure], measure) for measure in MEASURES)]
        for row in sorted_rows(entry, "delete")
    ]


def _against(entry: Entry) -> dict[str, Any]:
    """Differences of AOPC between one row and all others, and whether the row is better beyond the interval."""
    numbers, tables = _numbers(entry["against"]), {}
    for one, name in COMPARED.items():
        if not any(row["method"].startswith(f"{one} − ") for row in entry["against"]):
            continue
        rows = []
        for row in (row for row in sorted_rows(entry) if row != one):
            pair = [numbers[f"{one} − {row}", how, "aopc"] for how in ("mask", "delete")]
            rows.append([shown(row), *(text for cell in pair for text in (_cell(cell, "aopc"), _beyond(cell)))])
        tables[one] = {"name": name, "rows": rows}
    return tables


def _beyond(difference: Mapping[str, Any]) -> str:
    if difference["low"] > 0:
        return "better"
    return "worse" if difference["high"] < 0 else "level"


def _others(entry: Entry) -> dict[str, Any]:
    """AOPC in every model, and the lead of one frozen model over its rivals."""
    models = [entry, *entry["others"]]
    tables = [_numbers(model["table"]) for model in models]
    against = [_numbers(model["against"]) for model in models]
    names = [f"model {k + 1}" for k in range(len(models))]
    return {
        "models": names,
        "accuracies": ", ".join(f"{100 * model['training']['test_accuracy']:.1f} %" for model in models),
        "columns": [f"{word}, {name}" for word in ("masked", "deleted") for name in names],
        "rows": [
            [_named(row)]
            + [f"{numbers[row, how, 'aopc']['value']:.3f}" for how in ("mask", "delete") for numbers in tables]
            for row in sorted_rows(entry)
        ],
        "ahead": [
            [f"{one} minus {row}", "masked" if how == "mask" else "deleted"]
            + [_cell(numbers[f"{one} − {row}", how, "aopc"], "aopc") for numbers in against]
            for one in COMPARED
            for row in TO_BEAT
            for how in ("mask", "delete")
        ],
    }


def _saliency(entry: Entry) -> list[list[str]]:
    correlations = {(row["kind"], row["tokens"]): row for row in entry["saliency"]}
    return [
        [kind, f"{GLOBENC_SST2[kind]:.2f}"]
        + [_cell(correlations[kind, tokens], "") for tokens in ("all tokens", "words")]
        for kind in dict.fromkeys(row["kind"] for row in entry["saliency"])
    ]


def _choices(entry: Entry) -> list[list[str]]:
    numbers = _numbers(entry["candidates"])
    return [
        [
            candidate.row,
            candidate.choice or "–",
            method_of(candidate).name,
            _cell(numbers[candidate.name, "mask", "aopc"], "aopc"),
            "chosen" if entry["chosen"][candidate.row] == candidate.name else "",
        ]
        for candidate in candidates()
        if (candidate.name, "mask", "aopc") in numbers
    ]


def _published() -> dict[str, list[list[str]]]:
    return {
        "decompx": [
            [name, "–" if accuracy is None else f"{accuracy:.1f} %", f"{aopc:.3f}"]
            for name, (accuracy, aopc) in DECOMPX_SST2.items()
        ],
        "alti": [[name, f"{first:.3f}", f"{second:.3f}"] for name, (first, second) in ALTI_SST2.items()],
    }
