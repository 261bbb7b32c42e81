"""ScoNe-NLI: whether the share of "not" in a decision turns it exactly where the negation has scope.

``python -m reproduce negation-scone --data DATA --models runs/scone/1/model …``, with models of ``python -m reproduce
train-classifier --task scone --seed 1 --data DATA --out runs/scone/1``. Each model is a part, and kept until it is measured
again. What is explained is the logit of entailment minus that of neutral; the share of a cue is that of its tokens in both
sentences, by pull back.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from jaxtyping import Float

import normlens
from normlens import Lens
from normlens.errors import InvalidInput, NormLensError
from reproduce.data.contrast_sets import CLASSES, Pair, read_scone
from reproduce.negation.contrast_cues import MarkedPair, marked
from reproduce.negation.scone_page import drawn, page
from reproduce.study.kept import tabulate
from reproduce.study.options import add_data, require_data, study_parser

NAME = "negation/scone"
TARGET = (CLASSES[1], CLASSES[0])
"""The difference of logits that is explained: entailment minus neutral."""

Result = dict[str, Any]


def measured(lens: Lens, pairs: Sequence[Pair], batch_size: int = 32) -> Result:
    """Predictions of a model for pairs of sentences, and what its cues bring to them.

    Parameters
    ----------
    lens
        A lens on a classifier with the classes of `CLASSES`.
    pairs
        The pairs, with every contrast set complete.
    batch_size
        Pairs per run.

    Returns
    -------
    dict
        For each pair its cell, contrast set, whether the prediction is right, and the margin; and for each kind of cue in it
        its share and the effect of its deletion. Both are signed: above zero if they speak for what would be right without
        any negation, below zero if they turn it; shares are divided by the sum of all sizes, effects are differences of
        logits.
    """
    read = [marked(lens, pair) for pair in pairs]
    plain = {(pair.contrast_set): 2 * pair.label - 1 for pair in pairs if pair.cell == "no_negation"}
    inputs = [{"text": pair.premise, "text_pair": pair.hypothesis} for pair in pairs]
    margins = _margins(lens, [one.ids for one in read], [one.types for one in read], batch_size)
    rows: list[Result] = []
    shares = lens.attribute(inputs, method="decompx", target=TARGET, batch_size=batch_size, progress=False)
    for pair, one, share, margin in zip(pairs, read, shares, margins, strict=True):
        if share["source_id"].values.tolist() != one.ids:
            raise InvalidInput(f"The tokens of {pair.premise!r} differ between the tokenizer and the attribution.")
        sign, values = plain[pair.contrast_set], np.asarray(share.values, dtype=np.float64)
        total = np.abs(values).sum()
        label = 2 * pair.label - 1
        rows.append(
            {
                "cell": pair.cell,
                "set": pair.contrast_set,
                "right": bool(margin * label > 0),
                "margin": round(float(margin), 3),
                "shares": {
                    kind: round(sign * float(values[places].sum() / total), 4) for kind, places in one.kinds.items()
                },
            }
        )
    for row, effects in zip(rows, _effects(lens, read, margins, batch_size), strict=True):
        row["effects"] = {kind: round(plain[row["set"]] * effect, 3) for kind, effect in effects.items()}
    return {"pairs": rows}


def _margins(
    lens: Lens, ids: Sequence[Sequence[int]], types: Sequence[Sequence[int]], batch_size: int
) -> Float[np.ndarray, " pair"]:
    """The logit of entailment minus that of neutral."""
    places = [lens.model.config.label2id[name] for name in TARGET]
    result = []
    with torch.no_grad():
        for start in range(0, len(ids), batch_size):
            rows = [torch.tensor(row) for row in ids[start : start + batch_size]]
            kinds = [torch.tensor(row) for row in types[start : start + batch_size]]
            padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
            mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
            token_types = torch.nn.utils.rnn.pad_sequence(kinds, batch_first=True)
            logits = lens.model(input_ids=padded, attention_mask=mask, token_type_ids=token_types).logits
            result.append((logits[:, places[0]] - logits[:, places[1]]).double().numpy())
    return np.concatenate(result)


def _effects(
    lens: Lens, read: Sequence[MarkedPair], margins: Float[np.ndarray, " pair"], batch_size: int
) -> list[dict[str, float]]:
    """How far the margin of each pair falls when a kind of cue is deleted from both sentences."""
    asked = [(number, kind) for number, one in enumerate(read) for kind in one.kinds]
    kept = [
        [place for place in range(len(read[number].ids)) if place not in set(read[number].kinds[kind])]
        for number, kind in asked
    ]
    without = _margins(
        lens,
        [[read[number].ids[place] for place in places] for (number, _), places in zip(asked, kept, strict=True)],
        [[read[number].types[place] for place in places] for (number, _), places in zip(asked, kept, strict=True)],
        batch_size,
    )
    effects: list[dict[str, float]] = [{} for _ in read]
    for (number, kind), margin in zip(asked, without, strict=True):
        effects[number][kind] = float(margins[number] - margin)
    return effects


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure as set on the command line, or redraw kept results; print the page and keep it."""
    parser = study_parser(__doc__)
    add_data(parser, "scone")
    parser.add_argument("--models", type=Path, nargs="+", default=[], help="folders of fine-tuned models, one per seed")
    parser.add_argument("--limit", type=int, help="at most this many contrast sets")
    parser.add_argument("--batch-size", type=int, default=32, help="pairs per batch (default: 32)")
    options = parser.parse_args(arguments)

    def parts() -> Iterator[tuple[str, Result]]:
        if options.redraw:
            return
        require_data(parser, options)
        if not options.models:
            raise NormLensError(
                "No model is named. Train one with train-classifier --task scone, and pass it by --models."
            )
        try:
            pairs = read_scone(options.data / "scone")["test"]
        except OSError as error:
            raise InvalidInput(f"{options.data / 'scone'} can't be read ({error}).") from error
        asked = [pair for pair in pairs if options.limit is None or pair.contrast_set < options.limit]
        for folder in options.models:
            training = json.loads((folder / "training.json").read_text(encoding="utf-8"))
            seed = training["settings"]["seed"]
            print(f"seed {seed}", file=sys.stderr, flush=True)
            about = {
                "training": {key: value for key, value in training.items() if key != "tried"},
                "dev_by_epoch": training["tried"][0]["dev_by_epoch"],
                "versions": [normlens.__version__, str(torch.__version__), transformers.__version__],
            }
            yield f"seed {seed}", {**about, **measured(normlens.load(folder), asked, options.batch_size)}

    return tabulate(NAME, options.output, parts(), page, drawn)
