"""Idle heads: zero some of the heads, chosen by their weights or by what they move, and see what is lost.

``python -m reproduce idle-heads --data DATA``. Heads are chosen on texts that nothing is measured on. The loss of SmolLM2 on
paragraphs of XQuAD; the sentence embeddings of MiniLM, and a linear classifier on them, on SST.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

import normlens
from normlens import Lens
from normlens.statistics.heads import measure_heads
from reproduce.data.classified_texts import DataSplit, read_classified
from reproduce.heads.idle_page import draw, page
from reproduce.study.kept import rounded
from reproduce.study.options import add_data, run_study, study_parser

NAME = "idle_heads"
SHARES = (0.05, 0.10, 0.15)
RANDOM = 4
"""Random choices of heads, of each size."""

TOKENS = 96
CHOSEN_ON, MEASURED_ON = 40, 30
"""Numbers of paragraphs."""

SENTENCES, TRAINING = 300, 2000

Head = tuple[int, int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure both models, keep the numbers, and write page and figures.

    Returns
    -------
    int
        Exit status: 2 after an error, which is printed.
    """
    parser = study_parser(__doc__)
    add_data(parser, "xquad and sst")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="models (default: both)")
    return run_study(NAME, parser, arguments, _measured, page, draw)


def _measured(options: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    for part in options.parts:
        yield part, rounded(PARTS[part](options.data))


def loss_of_smollm2(data: Path) -> dict[str, Any]:
    """Cross-entropy per token of each paragraph, with all heads and with some of them zeroed."""
    lens = normlens.load("smollm2-135m")
    paragraphs = _paragraphs(data / "xquad" / "xquad.en.json")
    table = measure_heads(lens, paragraphs[:CHOSEN_ON], batch_size=4, progress=False, truncate=True)["decoder"].table()
    texts = paragraphs[CHOSEN_ON : CHOSEN_ON + MEASURED_ON]
    assert lens.tokenizer is not None
    ids = [torch.tensor([lens.tokenizer(text)["input_ids"][:TOKENS]]) for text in texts]

    def losses() -> dict[str, list[float]]:
        return {"loss": [float(lens.model(input_ids=row, labels=row, use_cache=False).loss) for row in ids]}

    return _compared(lens, table, losses, texts=len(texts))


def embeddings_of_minilm(data: Path) -> dict[str, Any]:
    """Cosine with the whole model's sentence embeddings, and whether a linear classifier on them is right."""
    lens = normlens.load("minilm-l6")
    sst = read_classified("sst", data)
    table = measure_heads(lens, sst.dev.limited(CHOSEN_ON).texts, progress=False)["encoder"].table()
    test = sst.test.limited(SENTENCES)
    classifier = LogisticRegression(max_iter=2000).fit(*_features(lens, sst.training.limited(TRAINING)))
    whole, labels = _features(lens, test)

    def similarities() -> dict[str, list[float]]:
        now, _ = _features(lens, test)
        return {
            "distance": (1 - (whole * now).sum(1)).tolist(),
            "error": (classifier.predict(now) != labels).astype(float).tolist(),
        }

    return _compared(lens, table, similarities, texts=len(test))


PARTS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "smollm2-135m": loss_of_smollm2,
    "minilm-l6": embeddings_of_minilm,
}


def _compared(
    lens: Lens,
    table: pd.DataFrame,
    measure: Callable[[], dict[str, list[float]]],
    texts: int,
) -> dict[str, Any]:
    """What is measured with all heads, and with each choice of heads zeroed."""
    orders = _orders(table)
    total = len(next(iter(orders.values())))
    with torch.no_grad():
        result: dict[str, Any] = {
            "texts": texts,
            "heads": total,
            "whole": measure(),
            "zeroed": {},
            "table": _of_heads(table),
        }
        for share in SHARES:
            count = round(share * total)
            for name, order in orders.items():
                with normlens.ablate(lens, order[:count]):
                    result["zeroed"][f"{name} {share:g}"] = measure()
                print(f"{lens.name}: {count} heads by {name}", flush=True)
    return result


def _orders(table: pd.DataFrame) -> dict[str, list[Head]]:
    """The heads of a model in the order in which each criterion zeroes them."""
    wide = table[table["head"].notna()].pivot_table(index=["layer", "head"], columns="quantity", values="value")
    displacement = wide["displacement"] / wide.groupby("layer")["displacement"].transform("mean")
    ranked = {
        "output norm": wide["relative_output_norm"],
        "displacement": displacement,
        "weight": -wide["first_token_weight"],
        "norm": -wide["first_token_norm"],
    }
    orders = {name: _pairs(values.sort_values(kind="stable").index) for name, values in ranked.items()}
    for seed in range(RANDOM):
        shuffled = np.random.default_rng(seed).permutation(len(wide))
        orders[f"random {seed + 1}"] = _pairs(wide.index[shuffled])
    return orders


def _pairs(index: pd.Index) -> list[Head]:
    return [(int(layer), int(head)) for layer, head in index]


def _of_heads(table: pd.DataFrame) -> dict[str, Any]:
    """Weight on, and norm from, the first token, and relative output of each head."""
    names = ["first_token_weight", "first_token_norm", "relative_output_norm"]
    shown = table[table["head"].notna() & table["quantity"].isin(names)]
    overall = table[table["layer"].isna()].set_index("quantity")
    return {
        "rows": shown[["quantity", "layer", "head", "value"]].astype({"layer": int, "head": int}).values.tolist(),
        "overall": {name: overall.loc[name, ["value", "low", "high"]].tolist() for name in overall.index},
    }


def _features(lens: Lens, split: DataSplit) -> tuple[np.ndarray, np.ndarray]:
    """Normalized sentence embeddings, means over tokens, and the labels."""
    assert lens.tokenizer is not None
    vectors = []
    with torch.no_grad():
        for start in range(0, len(split), 32):
            batch = lens.tokenizer(split.texts[start : start + 32], padding=True, return_tensors="pt")
            mask = batch["attention_mask"][..., None]
            summed = (lens.model(**batch).last_hidden_state * mask).sum(1)
            vectors.append(nn.functional.normalize(summed / mask.sum(1), dim=-1).double().numpy())
    return np.concatenate(vectors), np.array(split.labels)


def _paragraphs(path: Path) -> list[str]:
    """The paragraphs of XQuAD, one of each article in turn."""
    articles = json.loads(path.read_text(encoding="utf-8"))["data"]
    longest = max(len(article["paragraphs"]) for article in articles)
    return [
        article["paragraphs"][number]["context"]
        for number in range(longest)
        for article in articles
        if number < len(article["paragraphs"])
    ]
