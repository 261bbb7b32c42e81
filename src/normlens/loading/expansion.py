"""How much longer a tokenizer can make a text, computed from its steps before any text is read.

A step that turns one character into two is harmless; forty of them in a row fill any memory. The bound is computed from the
last step back to the first: a character's weight is the largest number of characters that the following steps can turn it
into. Weights belong to the characters of the case-folded text in Unicode's form NFKD, whose number is changed neither by
lower-casing nor by a normal form.
"""

from __future__ import annotations

import base64
import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from transformers import PreTrainedTokenizerBase

from normlens.errors import InvalidInput
from normlens.loading.regexes import takes_a_character
from normlens.loading.spm_files import charsmaps_of

MOST_CHARACTERS = 256  # that one character may become; real tokenizers stay below 40
LONGEST_TOKEN = 10_000  # characters
MOST_STEPS = 1_000

_COMPONENTS = ("normalizer", "pre_tokenizer", "post_processor", "decoder")
_NESTED = ("normalizers", "pretokenizers", "processors", "decoders")
_BYTES, _BYTES_WITH_SPACE = (
    8,
    16,
)  # up to four bytes per character, each two characters under NFKD; twice that with a space before each word


def check_expansion(name: str, tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse a tokenizer in memory that can make a text many times as long.

    Raises
    ------
    InvalidInput
        If one character can become more than 256, or a token of the vocabulary is longer than 10,000 characters.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    check_steps(name, {key: written for key in _COMPONENTS if (written := _written(getattr(backend, key, None)))})
    _check_tokens(name, tokenizer.get_vocab())
    for charsmap in charsmaps_of(tokenizer):
        if _longest_replacement(charsmap) > MOST_CHARACTERS:
            raise _too_long(name)


def check_whole_file(name: str, whole: Mapping[str, Any]) -> None:
    """Refuse the content of a ``tokenizer.json`` on the same grounds, since loading it already normalizes its added tokens.

    Content that isn't in the tokenizers library's format is left for that library to refuse.
    """
    check_steps(name, {key: whole[key] for key in _COMPONENTS if isinstance(whole.get(key), Mapping)})
    model = whole.get("model")
    model = model if isinstance(model, Mapping) else {}
    vocabulary, added = model.get("vocab"), whole.get("added_tokens")
    pieces = [piece[0] if isinstance(piece, list) and piece else piece for piece in vocabulary or ()]
    contents = [token.get("content") for token in added or () if isinstance(token, Mapping)]
    _check_tokens(name, [*model.values(), *pieces, *contents])


def check_steps(name: str, components: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse steps that can turn one character into more than 256.

    Parameters
    ----------
    name
        The name of the tokenizer's file or model.
    components
        Normalizer, pre-tokenizer, post-processor and decoder, as the tokenizers library serializes them.
    """
    listed = {key: list(_steps(component)) for key, component in components.items()}
    count = sum(map(len, listed.values()))
    if count > MOST_STEPS:
        raise InvalidInput(
            f"The tokenizer of {name} has {count:,} steps, more than any real tokenizer ({MOST_STEPS:,} at most). Download "
            "its files again."
        )
    before = [*listed.get("normalizer", ()), *listed.get("pre_tokenizer", ())]
    try:
        copies = _copies(listed.get("post_processor", ()))
        longest = max(_growth(before) * copies, _growth(listed.get("decoder", ())))
    except (AttributeError, KeyError, TypeError, ValueError):  # not in the library's format: the library will say so
        return
    if longest > MOST_CHARACTERS:
        raise _too_long(name)


def _steps(component: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The steps of a component in their order; sequences may be nested."""
    waiting: list[Any] = [component]
    while waiting:
        step = waiting.pop()
        if not isinstance(step, Mapping):
            continue
        nested = next((step[key] for key in _NESTED if isinstance(step.get(key), list)), None)
        if nested is None:
            yield step
        else:
            waiting += reversed(nested)


def _written(component: Any) -> dict[str, Any]:
    """A component as the library serializes it; empty for one written in Python, which can't be serialized."""
    try:
        written: dict[str, Any] = {} if component is None else json.loads(component.__getstate__())
    except Exception:  # the library raises no narrower class
        return {}
    return written


class _Weights:
    """The largest number of characters that the following steps can turn each character into."""

    def __init__(self) -> None:
        self.usual = 1
        self.special: dict[str, int] = {}
        self.inserted = 0  # once for every stretch of text

    def of(self, text: str) -> int:
        return sum(self.special.get(character, self.usual) for character in _folded(text))

    @property
    def largest(self) -> int:
        return max(self.usual, *self.special.values(), 1)

    def replace(self, pattern: str, content: str) -> None:
        """A literal pattern: its first character carries the content's weight less that of the rest of the pattern."""
        folded = _folded(pattern)
        first, others = folded[0], self.of(folded[1:])
        self.special[first] = max(self.special.get(first, self.usual), self.of(content) - others)

    def replace_any(self, content: str) -> None:
        """A pattern of one or more arbitrary characters may become the content."""
        weight = self.of(content)
        self.usual = max(self.usual, weight)
        self.special = {character: max(own, weight) for character, own in self.special.items()}

    def insert(self, weight: int) -> None:
        """Let this weight be inserted beside every character."""
        self.usual += weight
        self.special = {character: own + weight for character, own in self.special.items()}
        self.inserted += weight

    def multiply(self, factor: int) -> None:
        """Every character may become this many characters of any kind."""
        self.usual, self.special = self.largest * factor, {}


def _growth(steps: Iterable[Mapping[str, Any]]) -> int:
    """The largest number of characters that one can become; counting stops above the limit."""
    weights = _Weights()
    for step in reversed(list(steps)):
        _step_back(weights, step)
        if weights.largest + weights.inserted > MOST_CHARACTERS:
            break
    return weights.largest + weights.inserted


def _step_back(weights: _Weights, step: Mapping[str, Any]) -> None:
    """Turn the weights after a step into those before it. Steps that are not listed here make no text longer."""
    match step.get("type"):
        case "Replace":
            pattern, content = step["pattern"], step["content"]
            literal = pattern.get("String")
            if literal:
                weights.replace(literal, content)
            elif literal is None and takes_a_character(pattern["Regex"]):
                weights.replace_any(content)
            else:
                weights.insert(weights.of(content))
        case "Prepend":
            weights.inserted += weights.of(step["prepend"])
        case "Precompiled":
            weights.multiply(max(1, _longest_replacement(base64.b64decode(step["precompiled_charsmap"] or ""))))
        case "BertNormalizer" if step.get("handle_chinese_chars", True):
            space = weights.of(" ")
            weights.insert(2 * space)
            weights.special[" "] = space
        case "ByteLevel":
            weights.multiply(_BYTES_WITH_SPACE if step.get("add_prefix_space") else _BYTES)
        case "Metaspace":
            mark = step.get("replacement", "▁")
            weights.replace(" ", mark)
            if step.get("prepend_scheme") != "never":
                weights.insert(weights.of(mark))


def _copies(templates: Iterable[Mapping[str, Any]]) -> int:
    """How many times the templates repeat a text; more than 10,000 special tokens in a template count as too many."""
    copies = 1
    for template in templates:
        defined = template.get("special_tokens") or {}
        repeated = 1
        for pieces in (template.get("single") or (), template.get("pair") or ()):
            texts = [piece["Sequence"]["id"] for piece in pieces if "Sequence" in piece]
            marks = [defined.get(piece["SpecialToken"]["id"]) for piece in pieces if "SpecialToken" in piece]
            if sum(len(mark["ids"]) for mark in marks if mark) > LONGEST_TOKEN:
                return MOST_CHARACTERS + 1
            repeated = max(repeated, *Counter(texts).values(), 1)
        copies = min(copies * repeated, MOST_CHARACTERS + 1)
    return copies


def _longest_replacement(charsmap: bytes) -> int:
    """The largest number of characters by which a precompiled map of SentencePiece replaces one.

    The map consists of the size of a trie in bytes, the trie, and the replacements, each terminated by a zero byte. An entry
    of the trie may point to any place among them.
    """
    start = 4 + int.from_bytes(charsmap[:4], "little")
    return max((len(_folded(text.decode(errors="replace"))) for text in charsmap[start:].split(b"\0")), default=1)


def _check_tokens(name: str, tokens: Iterable[object]) -> None:
    """Refuse a token so long that a text with a few of them fills the memory, since each occurrence is a copy."""
    longest = max((len(token) for token in tokens if isinstance(token, str)), default=0)
    if longest > LONGEST_TOKEN:
        raise InvalidInput(
            f"The tokenizer of {name} has a token of {longest:,} characters, longer than in any real tokenizer "
            f"({LONGEST_TOKEN:,} at most). Download its files again."
        )


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())


def _too_long(name: str) -> InvalidInput:
    return InvalidInput(
        f"The tokenizer of {name} can make a text more than {MOST_CHARACTERS} times as long and fill the memory. Real "
        "tokenizers stay below 40 times. Download its files again, or pass another tokenizer: (model, tokenizer)."
    )
