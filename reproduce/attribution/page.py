"""The page of `reproduce.attribution.table`, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from normlens.faithfulness import BASELINES, MEASURES
from reproduce.attribution.candidates import candidates, method_of
from reproduce.study.page import markdown_table
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
"""The rows that are compared with all others, text by text, and the names of these sections."""

TO_BEAT = ("integrated gradients", "gradient × input", "ALTI", "GlobEnc (N-Enc)")
"""What the exact method was expected to be ahead of."""

Entry = Mapping[str, Any]
Numbers = dict[tuple[str, str, str], dict[str, Any]]


def page(kept: Mapping[str, Entry]) -> str:
    """Everything that is kept, a section for each part of each task; docs include the sections by name."""
    parts = ["# Attribution: every method on the same classifier"]
    for task, entry in kept.items():
        title = TASKS[task]
        if "table" in entry:
            parts += [_section(title, f"{task}_table", _table(entry))]
            parts += [_section(f"{title}, erased by deletion", f"{task}_deletion", _deletion(entry))]
            parts += [
                _section(f"{title}, {one} less each of the others", f"{task}_{name}", _against(entry, one))
                for one, name in COMPARED.items()
                if any(row["method"].startswith(f"{one} − ") for row in entry["against"])
            ]
        if "others" in entry:
            parts.append(_section(f"{title}: other seeds", f"{task}_others", _others(entry)))
        if "saliency" in entry:
            parts.append(_section(f"{title}: maps and gradients", f"{task}_saliency", _saliency(entry)))
        if "candidates" in entry:
            parts.append(_section(f"{title}: choices on dev", f"{task}_choices", _choices(entry)))
    return "\n\n".join([*parts, "## Published", _published()])


def sorted_rows(entry: Entry, erasure: str = "mask") -> list[str]:
    """Rows of the table, the highest AOPC first."""
    numbers = _numbers(entry["table"])
    rows = dict.fromkeys(row["method"] for row in entry["table"])
    return sorted(rows, key=lambda row: -numbers[row, erasure, "aopc"]["value"])


def shown(row: str) -> str:
    """How a row is called."""
    return BASELINE_NAMES.get(row, row)


def aopc_cell(number: Mapping[str, Any]) -> str:
    """A number with its interval."""
    return _cell(number, "aopc")


def _section(title: str, name: str, text: str) -> str:
    return f"## {title}\n\n<!-- --8<-- [start:{name}] -->\n{text}\n<!-- --8<-- [end:{name}] -->"


def _numbers(table: list[dict[str, Any]]) -> Numbers:
    return {(row["method"], row["erasure"], row["measure"]): row for row in table}


def _table(entry: Entry) -> str:
    numbers, rows = _numbers(entry["table"]), []
    for row in sorted_rows(entry):
        found = [_cell(numbers[row, "mask", measure], measure) for measure in MEASURES]
        rows.append([f"*{shown(row)}*" if row in BASELINES else row, *found, *_costs(entry, row)])
    training = entry["training"]
    headings = [
        "method", "AOPC ↑", "accuracy ↓", "comprehensiveness ↑", "sufficiency ↓", "correlation with leave-one-out ↑",
        "time, in forward passes", "memory, MiB",
    ]  # fmt: skip
    notes = [
        f"* MiniLM fine-tuned; data: {entry['data']}. {_accuracies(training)}The table: {entry['test']:,} texts of "
        f"{entry['part']} ({100 * entry['right']:.1f} % right), {entry['by']}s erased by {entry['replacement']}.",
        "* AOPC and accuracy: mean over the top 10, 20, …, 100 % erased; comprehensiveness and sufficiency: mean over 1, 5, "
        "10, 20 and 50 %. Intervals: 95 %, bootstrap over texts "
        f"({entry['resamples']:,} draws, seed {entry['seed']}). Baselines in italics.",
        *_cost_note(entry),
        *(f"* {row}: not for this model. {reason}" for row, reason in entry.get("refused", {}).items()),
    ]
    return markdown_table(headings, rows) + "\n\n" + "\n".join(notes)


def _accuracies(training: Mapping[str, Any]) -> str:
    if "test_accuracy" not in training:
        return ""
    dev, test = (100 * training[f"{part}_accuracy"] for part in ("dev", "test"))
    return f"Accuracy on all of dev {dev:.1f} %, of the test part {test:.1f} %. "


def _cost_note(entry: Entry) -> list[str]:
    if "costs" not in entry:
        return []
    forward = entry["costs"]["forward"]["milliseconds"]
    return [
        f"* Time and memory: {entry['cost_texts']} texts of {entry['cost_tokens'] / entry['cost_texts']:.0f} tokens on "
        f"average, one by one; processor time, {entry['threads']} thread; a forward pass takes {forward:.1f} ms. Memory: "
        "rise of what is resident to its peak."
    ]


def _costs(entry: Entry, row: str) -> list[str]:
    found = entry.get("costs", {}).get(entry["chosen"].get(row, ""))
    if found is None:
        return ["–", "–"]
    memory = found["mebibytes"]
    passes = found["milliseconds"] / entry["costs"]["forward"]["milliseconds"]
    return [f"{passes:.1f}", "–" if memory is None else f"{memory:.0f}"]


def _cell(number: Mapping[str, Any], measure: str) -> str:
    if number["value"] is None:
        return "–"
    scale, digits = (100, 1) if measure == "accuracy" else (1, 3)
    value, low, high = (round(scale * number[name], digits) + 0.0 for name in ("value", "low", "high"))  # no −0
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _deletion(entry: Entry) -> str:
    numbers = _numbers(entry["table"])
    rows = [
        [f"*{shown(row)}*" if row in BASELINES else row]
        + [_cell(numbers[row, "delete", measure], measure) for measure in MEASURES]
        for row in sorted_rows(entry, "delete")
    ]
    headings = ["method", "AOPC ↑", "accuracy ↓", "comprehensiveness ↑", "sufficiency ↓", "correlation ↑"]
    return markdown_table(headings, rows)


def _against(entry: Entry, one: str) -> str:
    numbers = _numbers(entry["against"])
    rows = []
    for row in (row for row in sorted_rows(entry) if row != one):
        found = [numbers[f"{one} − {row}", how, "aopc"] for how in ("mask", "delete")]
        clear = ["yes" if cell["low"] > 0 else "no: less" if cell["high"] < 0 else "no" for cell in found]
        cells = [text for cell, word in zip(found, clear, strict=True) for text in (_cell(cell, "aopc"), word)]
        rows.append([shown(row), *cells])
    return (
        f"{one}: difference in AOPC over the same texts, with 95 % intervals (paired bootstrap), and whether it is better "
        f"beyond them.\n\n" + markdown_table([f"{one} less", "by masking", "beyond", "by deletion", "beyond"], rows)
    )


def _others(entry: Entry) -> str:
    """AOPC in every model, and how far one frozen model is ahead of what it was to beat."""
    models = [entry, *entry["others"]]
    tables = [_numbers(model["table"]) for model in models]
    rows = [
        [f"*{shown(row)}*" if row in BASELINES else row]
        + [f"{numbers[row, how, 'aopc']['value']:.3f}" for how in ("mask", "delete") for numbers in tables]
        for row in sorted_rows(entry)
    ]
    headings = [f"{word}, model {k + 1}" for word in ("masked", "deleted") for k in range(len(models))]
    against = [_numbers(model["against"]) for model in models]
    ahead = [
        [f"{one} less {row}", "masked" if how == "mask" else "deleted"]
        + [_cell(numbers[f"{one} − {row}", how, "aopc"], "aopc") for numbers in against]
        for one in COMPARED
        for row in TO_BEAT
        for how in ("mask", "delete")
    ]
    accuracies = ", ".join(f"{100 * model['training']['test_accuracy']:.1f} %" for model in models)
    return "\n\n".join(
        [
            f"{len(models)} models that differ in the seed of their fine-tuning alone ({accuracies} right on the whole test "
            f"part), the same {entry['test']:,} texts, what was chosen with model 1 used for all. AOPC:",
            markdown_table(["method", *headings], rows),
            "Differences over the same texts, with 95 % intervals:",
            markdown_table(["AOPC of", "words", *(f"model {k + 1}" for k in range(len(models)))], ahead),
        ]
    )


def _saliency(entry: Entry) -> str:
    found = {(row["kind"], row["tokens"]): row for row in entry["saliency"]}
    kinds = dict.fromkeys(row["kind"] for row in entry["saliency"])
    rows = []
    for kind in kinds:
        cells = [_cell(found[kind, tokens], "") for tokens in ("all tokens", "words")]
        rows.append([kind, f"{GLOBENC_SST2[kind]:.2f}", *cells])
    return (
        "Spearman between the [CLS] row of each map, rolled out to the last layer, and the length of gradient × input "
        f"embedding for the predicted class. Theirs: BERT-base, SST-2, {GLOBENC_RUN} ({MODARRESSI_2022}); ours: MiniLM, "
        f"{entry['test']:,} texts.\n\n" + markdown_table(["map", "theirs", "all tokens", "without [CLS], [SEP]"], rows)
    )


def _choices(entry: Entry) -> str:
    numbers = _numbers(entry["candidates"])
    rows = []
    for candidate in candidates():
        if (candidate.name, "mask", "aopc") in numbers:
            mark = "chosen" if entry["chosen"][candidate.row] == candidate.name else ""
            aopc = _cell(numbers[candidate.name, "mask", "aopc"], "aopc")
            rows.append([candidate.row, candidate.choice or "–", method_of(candidate).name, aopc, mark])
    return f"{entry['dev']:,} texts of dev, erased by masking.\n\n" + markdown_table(
        ["row", "choice", "method", "AOPC", ""], rows
    )


def _published() -> str:
    theirs = [
        [name, "–" if accuracy is None else f"{accuracy:.1f} %", f"{aopc:.3f}"]
        for name, (accuracy, aopc) in DECOMPX_SST2.items()
    ]
    alti = [[name, f"{first:.3f}", f"{second:.3f}"] for name, (first, second) in ALTI_SST2.items()]
    return "\n\n".join(
        [
            "<!-- --8<-- [start:published] -->",
            f"SST-2, BERT-base, most important tokens masked: {MODARRESSI_2023}",
            markdown_table(["method", "accuracy ↓", "AOPC ↑"], theirs),
            f"SST-2, RoBERTa: {ALTI_RUN}",
            markdown_table(["method", "comprehensiveness ↑", "sufficiency ↓"], alti),
            "<!-- --8<-- [end:published] -->",
        ]
    )
