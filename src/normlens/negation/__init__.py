"""Negation: a word's domain, value and function, of which negation keeps the first, and turns and weakens the second.

`Meaning`, `apply`, `negate` and `compose` are the algebra of Hermann, Grefenstette & Blunsom 2013. `cue_reach` measures what
"not" moves in a Transformer; `read_annotated` and `scope_scores` compare that with annotated scopes.
"""

from typing import TYPE_CHECKING

from normlens.lazily import attribute_of
from normlens.negation.annotations import AnnotatedNegation, AnnotatedSentence, MarkedWord, read_annotated
from normlens.negation.cues import CUES, Cue, find_cues
from normlens.negation.scope_scoring import COUNTS, ScopeScores, scope_counts, scope_scores, scored_words

if TYPE_CHECKING:
    from normlens.negation.meaning import Meaning, Negation, Tree, apply, block_function, compose, negate
    from normlens.negation.reach import cue_reach, reach_of, reached_words

__all__ = [
    "COUNTS",
    "CUES",
    "AnnotatedNegation",
    "AnnotatedSentence",
    "Cue",
    "MarkedWord",
    "Meaning",
    "Negation",
    "ScopeScores",
    "Tree",
    "apply",
    "block_function",
    "compose",
    "cue_reach",
    "find_cues",
    "negate",
    "reach_of",
    "reached_words",
    "read_annotated",
    "scope_counts",
    "scope_scores",
    "scored_words",
]
_HOMES = {
    **dict.fromkeys(
        ("Meaning", "Negation", "Tree", "apply", "block_function", "compose", "negate"), "normlens.negation.meaning"
    ),
    **dict.fromkeys(("cue_reach", "reach_of", "reached_words"), "normlens.negation.reach"),
}
__getattr__ = attribute_of(__name__, _HOMES)
