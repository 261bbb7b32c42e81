"""What is measured of a child: translations, forgetting, the dictionary in its embeddings, and its alignment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import normlens
from normlens.alignment import Extractor, LinkSets, Reading, evaluate
from normlens.bitext.eflomal import link_files
from normlens.transfer import DictionaryPrecision, dictionary_precision
from reproduce.alignment.references import consensus, directions_of_file
from reproduce.transfer.family import Family

HELD_OUT = ("val", "test_2016_flickr", "test_2017_flickr")
FEWEST = 3
"""Smallest number of links between two words that make a translation."""

SHARE = 0.2
"""Smallest share of a word's links."""

ALIGNED = 500
"""Sentences of the test set whose words are aligned."""

RESAMPLES = 1000


def linked(family: Family, source: str, target: str) -> tuple[Path, Path]:
    """Files of eflomal's links of all captions, training text first and held-out text last, both directions."""
    ahead, back = (family.work / f"links.{source}-{target}.{name}" for name in ("forward", "reverse"))
    if not (ahead.exists() and back.exists()):
        sides = []
        for language in (source, target):
            path = family.work / f"all.{language}"
            sentences = family.words(("train", *HELD_OUT), language)
            path.write_text("".join(f"{sentence.lower()}\n" for sentence in sentences), encoding="utf-8")
            sides.append(path)
        link_files(sides[0], sides[1], ahead, back)
    return ahead, back


def dictionary(family: Family, source: str, target: str) -> dict[str, set[str]]:
    """Translations of words: pairs that eflomal links in both directions, often enough, in held-out captions."""
    ahead, back = linked(family, source, target)
    sides = [family.words(("train", *HELD_OUT), language) for language in (source, target)]
    first = len(family.words(("train",), source))
    directions = directions_of_file(ahead, back, len(sides[0]))
    counts: Counter[tuple[str, str]] = Counter()
    for (one, other), *sentence in zip(directions[first:], *(side[first:] for side in sides), strict=True):
        words = [text.split() for text in sentence]
        counts.update((words[0][i], words[1][j]) for i, j in one & other)
    totals: Counter[str] = Counter()
    for (word, _), count in counts.items():
        totals[word] += count
    found: dict[str, set[str]] = {}
    for (word, translation), count in counts.items():
        if count >= FEWEST and count >= SHARE * totals[word] and word.isalpha():
            found.setdefault(word, set()).add(translation)
    return found


def looked_up(
    family: Family, pieces: Mapping[str, int], embeddings: np.ndarray, translations: Mapping[str, set[str]]
) -> dict[str, Any]:
    """P@1 and P@5 of a child's German embeddings among the parent's French ones, over whole-word pieces."""
    parent = family.parent
    vocabulary = parent.tokenizer.get_vocab()  # type: ignore[union-attr]
    of_parent = {name: k for name, k in vocabulary.items() if name.startswith("▁") and name[1:].isalpha()}
    rows = {word: number for number, word in enumerate(of_parent)}
    table = parent.model.get_encoder().get_input_embeddings().weight.detach().numpy()[list(of_parent.values())]
    words = [name for name in pieces if name.startswith("▁") and name[1:] in translations]
    entries = {
        number: {rows[f"▁{one}"] for one in translations[name[1:]] if f"▁{one}" in rows}
        for number, name in enumerate(words)
    }
    entries = {number: correct for number, correct in entries.items() if correct}
    own = embeddings[[pieces[name] for name in words]]
    return {
        similarity: _plain(dictionary_precision(own, table, entries, similarity=similarity))
        for similarity in ("cosine", "csls")
    }


def _plain(measured: DictionaryPrecision) -> dict[str, Any]:
    hits = np.array(measured.hits_1, dtype=float)
    generator = np.random.default_rng(0)
    drawn = [hits[generator.integers(len(hits), size=len(hits))].mean() for _ in range(RESAMPLES)]
    return {
        "at_1": measured.at_1, "interval": [float(x) for x in np.quantile(drawn, [0.025, 0.975])], "at_5": measured.at_5,
        "chance_1": measured.chance_1, "chance_5": measured.chance_5, "words": measured.words,
    }  # fmt: skip


def alignment(family: Family, model: Path, source: str) -> list[dict[str, Any]]:
    """AER of each layer's cross-attention, by norm and weight, against the consensus of eflomal's two directions.

    Links are read from the row that predicts a word (AWO), where models as shallow as these look at its source, and from
    the row that reads it (AWI).
    """
    ahead, back = linked(family, source, "en")
    first = len(family.words(("train", "val"), source))
    texts = [family.test(language)[0][:ALIGNED] for language in (source, "en")]
    gold = consensus([directions_of_file(ahead, back, first + len(texts[0]))[first:]])
    lens = normlens.load(str(model))
    extractor = Extractor(lens)
    pairs = [extractor.pair(one.split(), other.split()) for one, other in zip(*texts, strict=True)]
    rows = []
    for layer in range(lens.model.config.decoder_layers):
        readings = [Reading(layer, setting="awo"), Reading(layer)]
        for reading in (one for pair in readings for one in (pair, pair.by("weight"))):
            links = [LinkSets.from_links({link[:2] for link in one.links()}) for one in extractor.soft(pairs, reading)]
            measured = evaluate(gold, links, resamples=RESAMPLES)
            described = {"layer": layer, "setting": reading.setting, "measure": reading.measure}
            rows.append({**described, "aer": 100 * measured.aer, "interval": [100 * x for x in measured.aer_interval]})
    return rows
