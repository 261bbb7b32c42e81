"""The cues in a pair of sentences of ScoNe-NLI: which negation has scope over the words that decide, and its tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from normlens import Lens
from normlens.errors import InvalidInput
from normlens.negation import Cue, find_cues
from reproduce.data.contrast_sets import Pair

KINDS = {
    "scoped": "the only negation with scope",
    "not scoped": "a negation without scope",
    "inner": "two with scope: the inner",
    "outer": "two with scope: the outer",
    "deciding word": "the word that decides",
    "other word": "another word",
}
"""What shares are taken of: the negations by their scope, and for comparison the deciding word and one drawn at random."""

_DENIALS = re.compile(r"\b(false|falsity|lie|untrue|incorrect|wrong)\b", re.IGNORECASE)


@dataclass(frozen=True)
class MarkedPair:
    """A pair of sentences as a model reads it.

    Attributes
    ----------
    ids, types
        Token ids, and which sentence each belongs to.
    kinds
        For each of `KINDS` that the pair has, the places of its tokens in both sentences.
    """

    ids: list[int]
    types: list[int]
    kinds: dict[str, list[int]]


def cues_by_kind(sentence: str, word: str, cell: str) -> dict[str, list[Cue]]:
    """The negations of a sentence by their scope.

    Of two negations, the one with scope is the last before the deciding word: it holds in every template of ScoNe that names
    its cell. Where both have scope, that one is the inner, and the outer is the other, or a denial such as "false".

    Parameters
    ----------
    sentence, word, cell
        The sentence, its deciding word, and its cell.
    """
    if cell == "no_negation":
        return {}
    cues = _cues(sentence)
    place = _place(sentence, word)
    before = [cue for cue in cues if cue.end <= place]
    nearest = max(before, key=lambda cue: cue.end, default=None)
    rest = [cue for cue in cues if cue != nearest]
    if cell == "one_scoped":
        return {} if nearest is None else {"scoped": [nearest]}
    if cell == "one_scoped_one_not_scoped":
        return {} if nearest is None else {"scoped": [nearest], "not scoped": rest}
    if cell == "two_scoped":
        denials = [Cue(match[0], *match.span()) for match in _DENIALS.finditer(sentence)]
        return {} if nearest is None else {"inner": [nearest], "outer": rest or denials}
    return {"not scoped": cues}


def marked(lens: Lens, pair: Pair) -> MarkedPair:
    """Tokenize a pair, and find the tokens of each kind in both sentences."""
    tokenizer: Any = lens.tokenizer
    encoded = tokenizer(pair.premise, pair.hypothesis, return_offsets_mapping=True)
    sides = encoded.sequence_ids()
    kinds: dict[str, list[int]] = {}
    for side, (sentence, word) in enumerate(zip((pair.premise, pair.hypothesis), pair.words, strict=True)):
        spans = {
            kind: [(cue.start, cue.end) for cue in cues]
            for kind, cues in cues_by_kind(sentence, word, pair.cell).items()
            if cues
        }
        start = _place(sentence, word)
        spans["deciding word"] = [(start, start + len(word))]
        spans["other word"] = [_other(sentence, [span for several in spans.values() for span in several], pair)]
        for kind, places in spans.items():
            tokens = [
                k
                for k, (own, (first, last)) in enumerate(zip(sides, encoded["offset_mapping"], strict=True))
                if own == side and any(first < end and last > begin for begin, end in places)
            ]
            kinds.setdefault(kind, []).extend(tokens)
    types = encoded.get("token_type_ids", [0 if side in (None, 0) else 1 for side in sides])
    return MarkedPair(encoded["input_ids"], types, {kind: places for kind, places in kinds.items() if places})


def _cues(sentence: str) -> list[Cue]:
    try:
        return find_cues(sentence)
    except InvalidInput:
        return []


def _place(sentence: str, word: str) -> int:
    """Where a word begins: as a whole word, or else as a part of one."""
    match = re.search(rf"\b{re.escape(word)}\b", sentence, re.IGNORECASE) or re.search(
        re.escape(word), sentence, re.IGNORECASE
    )
    return len(sentence) if match is None else match.start()


def _other(sentence: str, taken: list[tuple[int, int]], pair: Pair) -> tuple[int, int]:
    """A word of the sentence that is of no other kind, the same in both sentences of a pair if they have it at one place."""
    free = [
        match.span()
        for match in re.finditer(r"\w+", sentence)
        if not any(match.start() < end and match.end() > begin for begin, end in taken)
    ]
    if not free:
        return (0, 0)
    return free[int(np.random.default_rng([pair.contrast_set, len(pair.cell)]).integers(len(free)))]
