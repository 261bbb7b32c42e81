"""How "not", "not not", "very" and "hardly" move an adjective's vector: along its value, along its domain, or elsewhere.

``python -m reproduce negation-displacement --data DATA``. Directions are fitted without the modifiers: the value of a word
points from it to its antonym, its domain from all words to its kin, the other pair of antonyms of its domain; the general
direction of value comes from the antonyms of all other domains. Frames that fit a direction are never those in which it is
measured; for real sentences, all frames fit it. Intervals are over domains. Each part, one model, is kept until it is
measured again.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import transformers

import normlens
from normlens import Lens
from reproduce.negation.adjective_vectors import adjective_vectors, word_vectors
from reproduce.negation.adjectives import DOMAINS, MODIFIERS, Domain
from reproduce.negation.displacement_page import drawn, page
from reproduce.negation.displacement_split import (
    POLES,
    cosine,
    directions,
    directions_in,
    dot,
    interval,
    other_domains,
    over,
    polarity_accuracy,
    pole_distance,
    split,
)
from reproduce.negation.real_sentences import CUES, Placed, real_sentences, taking_cue, with_cue
from reproduce.study.kept import tabulate
from reproduce.study.options import add_data, require_data, study_parser

NAME = "negation/displacement"
MODELS = ("minilm-l6", "smollm2-135m")
FEWEST = 5
"""In fewer domains, displacements in real sentences are only counted."""

Result = dict[str, Any]


def in_templates(lens: Lens, domains: Sequence[Domain], batch_size: int = 64) -> Result:
    """Displacements of all modifiers in the frames."""
    plain = adjective_vectors(lens, "", domains, batch_size)
    fitted = directions(plain)
    gradable = np.array([domain.gradable for domain in domains])
    modifiers: Result = {}
    for modifier in MODIFIERS:
        print(f"{lens.name}: {modifier}", file=sys.stderr, flush=True)
        parts = split(plain, adjective_vectors(lens, modifier, domains, batch_size), fitted)
        by_domain = {name: values.mean(axis=(1, 2, 3)) for name, values in parts.items()}
        modifiers[modifier] = {name: interval(values) for name, values in by_domain.items()}
        for name, group in (("gradable", gradable), ("others", ~gradable)):
            if group.any():
                modifiers[modifier][f"to_antonym, {name}"] = interval(by_domain["to_antonym"][group])
    return {"polarity": np.round(polarity_accuracy(plain, fitted), 4).tolist(), "modifiers": modifiers}


def in_sentences(
    lens: Lens, sentences: Mapping[str, Sequence[str]], domains: Sequence[Domain], batch_size: int = 64
) -> Result:
    """Displacements of the same adjectives in real sentences.

    Parameters
    ----------
    lens, domains, batch_size
        The model, the adjectives, and sentences per run.
    sentences
        By source.

    Returns
    -------
    dict
        "with a cue": each cue before an adjective, against the sentence without it; "taking a cue": each modifier put before
        the adjective of a sentence, against the sentence as written. For each the numbers of sentences by source, of
        adjectives and of domains, and the displacement.
    """
    plain = adjective_vectors(lens, "", domains, batch_size).mean(axis=3, keepdims=True)
    words = [word for domain in domains for pair in domain.pairs for word in pair]
    pairs: dict[str, dict[str, list[tuple[Placed, Placed]]]] = {"with a cue": {}, "taking a cue": {}}
    every = [sentence for texts in sentences.values() for sentence in texts]
    source = {sentence: name for name, texts in sentences.items() for sentence in texts}
    for cue in CUES:
        pairs["with a cue"][cue] = with_cue(every, cue, words)
    taking = taking_cue(every, words)
    for modifier in MODIFIERS:
        pairs["taking a cue"][modifier] = [(one, one.after(modifier)) for one in taking]
    result: Result = {}
    vectors: dict[Placed, np.ndarray] = {}  # a sentence takes several cues
    for kind, by_cue in pairs.items():
        place = 0 if kind == "taking a cue" else 1  # the sentence as it was written
        for cue, own in by_cue.items():
            print(f"{lens.name}: {cue} in {len(own)} sentences {kind}", file=sys.stderr, flush=True)
            counts = {name: sum(source[pair[place].text] == name for pair in own) for name in sentences}
            shifts = displacement(lens, own, plain, domains, batch_size, vectors)
            result.setdefault(kind, {})[cue] = {"sentences": counts, **shifts}
    return result


def displacement(
    lens: Lens,
    pairs: Sequence[tuple[Placed, Placed]],
    plain: np.ndarray,
    domains: Sequence[Domain],
    batch_size: int = 64,
    measured: dict[Placed, np.ndarray] | None = None,
) -> Result:
    """The displacement of adjectives between two sentences, split as in the frames: the mean of each domain's sentences.

    Parameters
    ----------
    lens, domains, batch_size
        The model, the adjectives, and sentences per run.
    pairs
        The sentence without a cue and the one with it.
    plain
        Vectors of the adjectives without a modifier, ``(domain, pair, pole, 1, layer, size)``.
    measured
        Vectors of sentences that were measured before; those without a cue are added.
    """
    places = {
        word: (d, p, k)
        for d, one in enumerate(domains)
        for p, pair in enumerate(one.pairs)
        for k, word in enumerate(pair)
    }
    domain = np.array([places[one.word][0] for one, _ in pairs], dtype=np.int64)
    numbers: Result = {"words": len({one.word for one, _ in pairs}), "domains": len(set(domain.tolist()))}
    if numbers["domains"] < FEWEST:
        return numbers
    measured = {} if measured is None else measured
    missing = [one for one, _ in pairs if one not in measured]
    if missing:
        measured.update(zip(missing, _vectors(lens, missing, batch_size), strict=True))
    before = np.stack([measured[one] for one, _ in pairs])
    after = _vectors(lens, [other for _, other in pairs], batch_size)
    shift, centre = after - before, plain.mean(axis=(0, 1, 2, 3))
    fitted, turned = directions_in(plain), other_domains(len(domains))
    at = tuple(np.array([places[one.word] for one, _ in pairs]).T)
    antonym, kin, value = (fitted[name][at][:, 0] for name in ("antonym", "domain", "value"))
    other = fitted["antonym"][turned][at][:, 0]
    poles = POLES.ravel()[at[2]][:, None]
    # Layers of single sentences may have next to no coordinate along the domain: all are measured by their mean.
    along = over(dot(shift, kin), dot(before - centre, kin).mean(axis=0))
    rows = {
        "to_antonym": over(dot(shift, antonym), dot(antonym, antonym)),
        "value": over(-2 * poles * dot(shift, value), pole_distance(plain, fitted["value"]).ravel()),
        "domain_kept": 1 + along,
        "in_antonym": cosine(shift, antonym) ** 2,
        "in_other_antonym": cosine(shift, other) ** 2,
    }
    means = {name: np.stack([of[domain == d].mean(axis=0) for d in np.unique(domain)]) for name, of in rows.items()}
    return {**numbers, **{name: interval(of) for name, of in means.items()}}


def _vectors(lens: Lens, placed: Sequence[Placed], batch_size: int) -> np.ndarray:
    return word_vectors(lens, [one.text for one in placed], [one.span for one in placed], batch_size)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure as set on the command line, or redraw kept results; print the page and keep it."""
    parser = study_parser(__doc__)
    add_data(parser, "sst, cdsco, ud_pud, xquad, multi30k, ag_news and deen/parallel/tatoeba.en-de.tsv")
    parser.add_argument("--parts", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--domains", type=int, help="at most this many domains")
    parser.add_argument("--batch-size", type=int, default=64, help="sentences per batch (default: 64)")
    options = parser.parse_args(arguments)

    def parts() -> Iterator[tuple[str, Result]]:
        if options.redraw:
            return
        require_data(parser, options)
        sentences = real_sentences(options.data)
        for name in options.parts:
            lens, domains = normlens.load(name), DOMAINS[: options.domains]
            about = {"versions": [normlens.__version__, str(torch.__version__), transformers.__version__]}
            measured = in_templates(lens, domains, options.batch_size)
            yield name, {**about, **measured, "sentences": in_sentences(lens, sentences, domains, options.batch_size)}

    return tabulate(NAME, options.output, parts(), page, drawn)
