"""The picture of the negation pages: which words "not" reaches in MiniLM, by weight and by norm, its scope underlined."""

from collections.abc import Sequence
from pathlib import Path

import normlens
from normlens import figures
from normlens.negation import cue_reach

TEXT = "The acting is not bad, but I laughed once."
SCOPE = ("The", "acting", "is", "bad")


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw the scope map and write it to docs/images."""
    [reach] = cue_reach(normlens.load("minilm-l6"), TEXT)
    words = reach["word_text"].values.tolist()
    picture = figures.scope_map(reach, marked=[words.index(word) for word in SCOPE])
    print(figures.save(picture, Path(__file__).parents[2] / "docs" / "images" / "scope_map.svg"))
    return 0
