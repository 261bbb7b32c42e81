"""How "not", "not not", "very" and "hardly" move an adjective's vector: along its value, along its domain, or elsewhere.

``python -m reproduce negation-displacement --data DATA``. Directions are fitted without the modifiers: the value of a word
points from it to its antonym, its domain from all words to its kin, the other pair of antonyms of its domain; the general
direction of value comes from the antonyms of all other domains. Frames that fit a direction are never those in which it is
measured. Intervals are over domains. Each part, one model, is kept until it is measured again.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from jaxtyping import Float

import normlens
from normlens import Lens
from normlens.negation import read_annotated
from normlens.statistics import bootstrap_interval, mean_of_present
from reproduce.data.classified_texts import sentence_of_tree
from reproduce.negation.adjectives import DOMAINS, FRAMES, MODIFIERS, Domain
from reproduce.negation.annotated_cues import FILES
from reproduce.negation.displacement_page import drawn, page
from reproduce.study.kept import tabulate
from reproduce.study.options import add_data, require_data, study_parser

NAME = "negation/displacement"
MODELS = ("minilm-l6", "smollm2-135m")
_CUES = {"not": r"(?:not|n't)", "never": "never", "hardly": "hardly", "very": "very"}

Result = dict[str, Any]
Vectors = Float[np.ndarray, "domain pair pole frame layer size"]


def word_vectors(
    lens: Lens, texts: Sequence[str], spans: Sequence[tuple[int, int]], batch_size: int = 64
) -> Float[np.ndarray, "text layer size"]:
    """The vector of a word in each text: the mean over its tokens of the embedding and of every layer's output.

    Parameters
    ----------
    lens
        The model.
    texts, spans
        Texts, and the first character of a word and the one after its last.
    batch_size
        Texts per run.
    """
    tokenizer: Any = lens.tokenizer
    rows = []
    for start in range(0, len(texts), batch_size):
        encoded = [tokenizer(text, return_offsets_mapping=True) for text in texts[start : start + batch_size]]
        ids = [torch.tensor(one["input_ids"]) for one in encoded]
        padded = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True)
        mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in ids], batch_first=True)
        with torch.no_grad():
            states = lens.model(input_ids=padded, attention_mask=mask, output_hidden_states=True).hidden_states
        hidden = torch.stack(states, dim=2).float().numpy()
        for k, one in enumerate(encoded):
            first, last = spans[start + k]
            tokens = [t for t, (a, b) in enumerate(one["offset_mapping"]) if a < last and b > first]
            rows.append(hidden[k, tokens].mean(axis=0))
    return np.stack(rows).astype(np.float64)


def adjective_vectors(lens: Lens, modifier: str, domains: Sequence[Domain], batch_size: int = 64) -> Vectors:
    """Vectors of all adjectives after a modifier ("" for none) in all frames."""
    texts, spans = [], []
    for domain in domains:
        for pair in domain.pairs:
            for word in pair:
                for frame in FRAMES:
                    text = frame.format(f"{modifier} {word}".strip())
                    end = text.index(word, text.index(modifier) + len(modifier)) + len(word)
                    texts.append(text)
                    spans.append((end - len(word), end))
    vectors = word_vectors(lens, texts, spans, batch_size)
    return vectors.reshape(len(domains), 2, 2, len(FRAMES), *vectors.shape[1:])


def directions(plain: Vectors) -> dict[str, Vectors]:
    """Directions of each word in each frame, fitted in the frames of the other half.

    Parameters
    ----------
    plain
        Vectors without a modifier.

    Returns
    -------
    dict
        "antonym": from the word to its antonym; "domain": from the mean of all words to its kin, without what lies along
        the antonym; "value": the mean of all other domains' antonyms, from the second of a pair to the first. The first and
        the last keep their length.
    """
    half = plain.shape[3] // 2
    other = np.repeat(
        np.stack([plain[:, :, :, half:].mean(axis=3), plain[:, :, :, :half].mean(axis=3)], axis=3), [half, half], axis=3
    )
    antonym = other[:, :, ::-1] - other
    kin = other[:, ::-1].mean(axis=2, keepdims=True) - other.mean(axis=(0, 1, 2), keepdims=True)
    unit = _over(antonym, _norm(antonym))
    domain = np.broadcast_to(kin, antonym.shape) - (kin * unit).sum(axis=-1, keepdims=True) * unit
    by_domain = (other[:, :, 0] - other[:, :, 1]).mean(axis=1)
    rest = (by_domain.sum(axis=0, keepdims=True) - by_domain) / max(1, len(plain) - 1)
    value = np.broadcast_to(rest[:, None, None], antonym.shape)
    return {"antonym": antonym, "domain": domain, "value": value}


def split(plain: Vectors, moved: Vectors, fitted: Mapping[str, Vectors], seed: int = 0) -> dict[str, np.ndarray]:
    """A displacement, split along directions.

    Parameters
    ----------
    plain, moved
        Vectors without and with the modifier.
    fitted
        From :func:`directions`.
    seed
        Of the choice of other words' directions, the control.

    Returns
    -------
    dict of array, ``(domain, pair, pole, frame, layer)``
        ``to_antonym``: how far towards the antonym, 1 at the antonym itself. ``value``: the same along the general direction
        of value, 2 from one pole to the other. ``domain_kept``: the coordinate along the domain after the modifier over that
        before. ``in_antonym``, ``in_domain``: shares of the squared length of the displacement; ``in_other_antonym``,
        ``in_other_domain``: along the directions of a word of another domain. ``size``: the length over the distance to the
        antonym.
    """
    shift, centre = moved - plain, plain.mean(axis=(0, 1, 2), keepdims=True)
    antonym, domain, value = fitted["antonym"], fitted["domain"], fitted["value"]
    turned = np.random.default_rng(seed).permutation(len(plain))
    turned = np.roll(turned, 1)[np.argsort(turned)]  # another domain for each
    poles = np.array([1.0, -1.0]).reshape(1, 1, 2, 1, 1)
    along, before = _dot(shift, domain), _dot(plain - centre, domain)
    reach = _dot(plain[:, :, :1] - plain[:, :, 1:], value)  # between the poles
    mean_reach = reach.mean(axis=(0, 1, 2, 3), keepdims=True)
    return {
        "to_antonym": _over(_dot(shift, antonym), _dot(antonym, antonym)),
        "value": _over(-2 * poles * _dot(shift, value), mean_reach),
        "domain_kept": np.broadcast_to(1 + _over(_by_domain(along), _by_domain(before)), along.shape),
        "in_antonym": _cosine(shift, antonym) ** 2,
        "in_other_antonym": _cosine(shift, antonym[turned]) ** 2,
        "in_domain": _cosine(shift, domain) ** 2,
        "in_other_domain": _cosine(shift, domain[turned]) ** 2,
        "size": np.sqrt(_over(_dot(shift, shift), _dot(antonym, antonym))),
    }


def polarity_accuracy(plain: Vectors, fitted: Mapping[str, Vectors]) -> Float[np.ndarray, " layer"]:
    """How often the general direction of value orders two antonyms of a domain that it was not fitted on."""
    between = _dot(plain[:, :, 0] - plain[:, :, 1], fitted["value"][:, :, 0])
    return np.asarray((between > 0).mean(axis=(0, 1, 2)))


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
        modifiers[modifier] = {name: _interval(values) for name, values in by_domain.items()}
        for name, group in (("gradable", gradable), ("others", ~gradable)):
            if group.any():
                modifiers[modifier][f"to_antonym, {name}"] = _interval(by_domain["to_antonym"][group])
    return {"polarity": np.round(polarity_accuracy(plain, fitted), 4).tolist(), "modifiers": modifiers}


def in_sentences(lens: Lens, sentences: Sequence[str], domains: Sequence[Domain], batch_size: int = 64) -> Result:
    """Displacements of the same adjectives in real sentences: with the cue before them, against the sentence without it.

    Directions are those of the frames; all frames may fit them, since none is measured.
    """
    plain = adjective_vectors(lens, "", domains, batch_size).mean(axis=3)
    places = {
        word: (d, p, k)
        for d, one in enumerate(domains)
        for p, pair in enumerate(one.pairs)
        for k, word in enumerate(pair)
    }
    result: Result = {}
    for cue, pattern in _CUES.items():
        cut, whole = _with_cue(sentences, pattern, places)
        if len(whole) < 2:
            continue
        words = [word for _, _, word in whole]
        shift = word_vectors(lens, *_texts(whole), batch_size) - word_vectors(lens, *_texts(cut), batch_size)
        own = np.stack([plain[places[word][0], places[word][1], places[word][2]] for word in words])
        antonym = np.stack([plain[places[word][0], places[word][1], 1 - places[word][2]] for word in words]) - own
        turned = np.roll(antonym, 1, axis=0)
        result[cue] = {
            "sentences": len(words),
            "to_antonym": _interval(_over(_dot(shift, antonym), _dot(antonym, antonym))),
            "in_antonym": _interval(_cosine(shift, antonym) ** 2),
            "in_other_antonym": _interval(_cosine(shift, turned) ** 2),
        }
    return result


def _with_cue(
    sentences: Sequence[str], pattern: str, places: Mapping[str, Any]
) -> tuple[list[tuple[str, tuple[int, int], str]], list[tuple[str, tuple[int, int], str]]]:
    """Sentences without and with a cue right before one of the adjectives, each with the place of the adjective."""
    search = re.compile(rf"(?<![\w'])({pattern}\s+)({'|'.join(places)})\b")
    cut, whole = [], []
    for sentence in sentences:
        match = search.search(sentence)
        if match is not None:
            word, length = match[2], len(match[1])
            whole.append((sentence, match.span(2), word))
            start = match.start(2) - length
            cut.append((sentence[: match.start(1)] + sentence[match.end(1) :], (start, start + len(word)), word))
    return cut, whole


def _texts(rows: Sequence[tuple[str, tuple[int, int], str]]) -> tuple[list[str], list[tuple[int, int]]]:
    return [text for text, _, _ in rows], [span for _, span, _ in rows]


def _interval(values: Float[np.ndarray, "domain layer"]) -> list[list[float]]:
    low, high = bootstrap_interval(values, seed=0)
    return [np.round(row, 4).tolist() for row in (mean_of_present(values, axis=0), low, high)]


def _dot(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.asarray((one * other).sum(axis=-1))


def _by_domain(values: np.ndarray) -> np.ndarray:
    return np.asarray(values.mean(axis=(1, 2, 3), keepdims=True))


def _over(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """A quotient, zero where two antonyms have the same vector, as words that a tokenizer lacks."""
    shape = np.broadcast_shapes(one.shape, other.shape)
    return np.asarray(np.divide(one, other, out=np.zeros(shape), where=np.broadcast_to(other != 0, shape)))


def _norm(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.norm(vectors, axis=-1, keepdims=True))


def _cosine(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.asarray(_dot(one, other) / (_norm(one) * _norm(other))[..., 0].clip(1e-12))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure as set on the command line, or redraw kept results; print the page and keep it."""
    parser = study_parser(__doc__)
    add_data(parser, "sst and cdsco")
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


def real_sentences(data: Path) -> list[str]:
    """All sentences of the Stanford Sentiment Treebank and of CD-SCO.

    Raises
    ------
    NormLensError
        If a file of theirs is missing.
    """
    files = [data / "sst" / f"{split}.txt" for split in ("train", "dev", "test")]
    missing = [str(file) for file in files if not file.exists()]
    if missing:
        raise normlens.NormLensError(
            f"There is no {missing[0]}. The treebank is at https://nlp.stanford.edu/sentiment/."
        )
    trees = [line for file in files for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    annotated = [sentence.text for file in FILES.values() for sentence in read_annotated(data / "cdsco" / file)]
    return [*map(sentence_of_tree, trees), *annotated]
