"""Words of texts that tokenizers of every kind have cut: none of them loses or doubles a character."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE, Unigram, WordPiece
from transformers import (
    BertConfig,
    BertModel,
    CamembertTokenizer,
    MBartTokenizer,
    PreTrainedTokenizerFast,
    T5Tokenizer,
    XLMRobertaTokenizer,
    XLNetTokenizer,
)
from transformers.convert_slow_tokenizer import bytes_to_unicode

import normlens
from normlens.alignment.pieces import Cutter, split_words
from normlens.attribution.result import labels
from normlens.encoding import encode_text
from normlens.figures import scored_text
from normlens.words import merge_shares, merged_labels, whitespace_words

PIECES = [
    "▁Quality", "▁of", "sufficient", "กํ", "กํา", "า", "น้", "ํา", "ก", "น", "東", "京", "ﬁ", "f", "i", "x", "キロ", "▁x", "...",
    "é", "e", "▁f", "🦀", "\"", ".",
]  # fmt: skip
TEXTS = {
    "Quality of sufficient": ["Quality", "of", "sufficient"],
    "sufficient  sufficient": ["sufficient", "sufficient"],
    "กำน้ำ x": ["กำน้ำ", "x"],  # Thai: NFKC cuts its vowel ำ in two, and pieces begin in the middle
    "東京 東": ["東", "京", "東"],
    "ﬁx x…x": ["ﬁx", "x", "…", "x"],
    "㌔x é": ["㌔", "x", "é"],
    'x "sufficient".': ["x", '"', "sufficient", '"', "."],
    "🦀 of": ["🦀", "of"],
}


def pieces(*before: str, after: tuple[str, ...] = ()) -> list[tuple[str, float]]:
    return [(p, 0.0) for p in before] + [("▁", -1.0), *((p, -2.0) for p in PIECES)] + [(p, 0.0) for p in after]


def unigram(normalizer: Any, pre_tokenizer: Any) -> PreTrainedTokenizerFast:
    core = Tokenizer(Unigram(pieces("<unk>", "</s>"), 0))
    core.normalizer = normalizer
    if pre_tokenizer is not None:
        core.pre_tokenizer = pre_tokenizer
    return PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>", eos_token="</s>")


def byte_level(prefix: bool, trim: bool) -> PreTrainedTokenizerFast:
    """Bytes, and one piece that holds the end of one character and the beginning of the next."""
    letters = bytes_to_unicode()
    merges = [("s", "u"), ("Ġ", "x"), (letters[0xA9], letters[0xF0])]  # é ends in A9, 😀 begins with F0
    vocabulary = {c: k for k, c in enumerate([*sorted(letters.values()), *map("".join, merges), "</s>"])}
    core = Tokenizer(BPE(vocabulary, merges))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=False)
    core.post_processor = processors.ByteLevel(trim_offsets=trim)
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="</s>")


def llama() -> PreTrainedTokenizerFast:
    prefix = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return unigram(prefix, None)


def word_piece() -> PreTrainedTokenizerFast:
    vocabulary = {p: k for k, p in enumerate(["[UNK]", "suf", "##ficient", "x", ".", '"', "of", "東", "京", "e"])}
    core = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    core.normalizer, core.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    return PreTrainedTokenizerFast(tokenizer_object=core, unk_token="[UNK]")


FRAME = ("<s>", "<pad>", "</s>", "<unk>")
KINDS: dict[str, Callable[[], Any]] = {
    "XLM-R": lambda: XLMRobertaTokenizer(vocab=pieces(*FRAME, after=("<mask>",))),
    "CamemBERT": lambda: CamembertTokenizer(
        vocab=pieces("<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED", after=("<mask>",))
    ),
    "T5": lambda: T5Tokenizer(vocab=pieces("<pad>", "</s>", "<unk>"), extra_ids=0),
    "XLNet": lambda: XLNetTokenizer(vocab=pieces("<unk>", "<s>", "</s>", "<cls>", "<sep>", "<pad>", "<mask>")),
    "mBART": lambda: MBartTokenizer(vocab=pieces(*FRAME, after=("<mask>",))),
    "SentencePiece": lambda: unigram(normalizers.NFKC(), pre_tokenizers.Metaspace(prepend_scheme="always")),
    "Gemma": lambda: unigram(None, pre_tokenizers.Metaspace(prepend_scheme="never", split=False)),
    "Llama": llama,
    "GPT-2": lambda: byte_level(False, False),
    "RoBERTa": lambda: byte_level(False, True),
    "prefixed": lambda: byte_level(True, False),
    "prefixed and trimmed": lambda: byte_level(True, True),
    "BERT": word_piece,
}


@cache
def tokenizer_of(kind: str) -> Any:
    return KINDS[kind]()


@cache
def lens_on(kind: str) -> normlens.Lens:
    tokenizer = tokenizer_of(kind)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    return normlens.load((BertModel(config).eval(), tokenizer))


def has_letters(text: str) -> bool:
    """Whether a tokenizer that removes accents leaves something of every word."""
    return bool(text.strip()) and not any(unicodedata.category(word[0]) == "Mn" for word in text.split())


def ordinary(labelled: Any) -> list[str]:
    """Words without special tokens and without marks of what the vocabulary lacks."""
    kept = labelled["source_category"].values != "special"
    return [str(label).partition(" ")[0] for label in labelled["source_token"].values[kept]]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_word_is_the_text_that_it_spans(kind: str, text: str) -> None:
    lens = lens_on(kind)
    whole = lens.analyze(text)
    data = whole.words()["encoder"].data
    expected = ["㌔x", "é"] if kind == "BERT" and "㌔" in text else TEXTS[text]  # one unknown piece, which can't be cut
    assert [word for word in ordinary(data) if word != "␣"] == expected
    for label, start, end in zip(*(data[f"source_{name}"].values for name in ("token", "start", "end")), strict=True):
        assert start == end or (text[start:end].strip() or "␣") == label.partition(" ")[0]
    assert float(abs(data["weight"].sum("source") - 1).max()) < 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_shares_and_figures_have_the_same_words(kind: str) -> None:
    lens, text = lens_on(kind), "กำน้ำ x sufficient."
    data = lens.analyze(text).words()["encoder"].data
    shares = merge_shares(lens.attribute(text, method="rollout").isel(target=0))
    assert ordinary(shares) == ordinary(data)
    shown = [word.text.partition(" ")[0] for word in scored_text(shares).words if not word.is_special]
    assert shown == ordinary(data)


@pytest.mark.parametrize("kind", KINDS)
def test_a_piece_that_is_a_space_is_not_shown_as_the_next_letter(kind: str) -> None:
    lens = lens_on(kind)
    data = lens.analyze("x sufficient")["encoder"].data
    spelled = tokenizer_of(kind).convert_ids_to_tokens(data["source_id"].values.tolist())
    marks = [str(label) for label, token in zip(data["source_token"].values, spelled, strict=True) if token in "▁Ġ"]
    assert set(marks) <= {"␣", "▁", "Ġ"}
    assert len(marks) == {"BERT": 0, "prefixed": 1, "prefixed and trimmed": 1}.get(kind, 1)
    assert data["source_word"].values[data["source_category"].values != "special"].tolist()[-1] == 1


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=20, deadline=None)
@given(text=st.text('x é😀กำน้東"ﬁ.…', min_size=1, max_size=12).filter(has_letters))
def test_words_put_together_are_the_text(kind: str, text: str) -> None:
    tokenizer = tokenizer_of(kind)
    tokens = encode_text(tokenizer, text)
    whole = xr.Dataset(coords=labels("source", tokens))
    merged = xr.Dataset(coords=merged_labels(whole, "source", [text] * len(tokens)))
    assert "".join(ordinary(merged)).replace("␣", "") == "".join(text.split(" "))
    by_space = whitespace_words(tokens.words, tokens.offsets, tokens.special, text)
    spans = [tokens.offsets[by_space == word] for word in range(by_space.max() + 1)]
    covered = [text[span[:, 0].min() : span[:, 1].max()].split() for span in spans]
    assert [word for word in covered if word] == [[word] for word in text.split()]


@pytest.mark.parametrize("kind", KINDS)
def test_alignment_counts_the_same_words(kind: str) -> None:
    tokenizer = tokenizer_of(kind)
    for text in TEXTS:
        sentence = " ".join(split_words(text))
        tokens = encode_text(tokenizer, sentence)
        cut = Cutter(tokenizer).cut(split_words(text))
        assert cut.ids.tolist() == tokens.ids.tolist()
        expected = whitespace_words(tokens.words, tokens.offsets, tokens.special, sentence)
        assert cut.words.tolist() == expected.tolist(), sentence


def test_words_between_spaces_keep_their_punctuation() -> None:
    lens = lens_on("Llama")
    merged = lens.analyze('x "sufficient". 東京 f.').words(split_punctuation=False)["encoder"].data
    assert ordinary(merged) == ["x", '"sufficient".', "東京", "f."]
    assert merged["source_category"].values.tolist() == ["other"] * 4
    np.testing.assert_allclose(merged["weight"].sum("source"), 1, atol=1e-6)
    quoted = lens.analyze('x "." f').words(split_punctuation=False)["encoder"].data
    assert quoted["source_category"].values.tolist() == ["other", "punctuation", "other"]
