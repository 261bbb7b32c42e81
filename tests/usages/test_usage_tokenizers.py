"""Words of texts that tokenizers of every kind have cut: none of them loses or doubles a character."""

from __future__ import annotations

import json
import re
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizer_kinds import KINDS, lens_on, tokenizer_of
from tokenizers import Tokenizer, normalizers
from tokenizers.models import WordLevel
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast
from typer.testing import CliRunner

import normlens
from normlens.alignment.subwords import SubwordTokenizer
from normlens.attribution.arrays import labels
from normlens.bitext.raw_text import split_words
from normlens.cli import app
from normlens.errors import InvalidInput
from normlens.figures import scored_text
from normlens.inputs.tokenization import encode_text
from normlens.words import merge_shares, merged_labels, whitespace_words

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


def has_letters(text: str) -> bool:
    """Whether a tokenizer that removes accents leaves something of every word."""
    return bool(text.strip()) and not any(unicodedata.category(word[0]) == "Mn" for word in text.split())


def ordinary(labeled: Any) -> list[str]:
    """Words without special tokens and without marks of what the vocabulary lacks."""
    kept = labeled["source_category"].values != "special"
    return [str(label).partition(" ")[0] for label in labeled["source_token"].values[kept]]


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
        cut = SubwordTokenizer(tokenizer).tokenize(split_words(text))
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


def failing_tokenizer() -> PreTrainedTokenizerFast:
    """One whose library fails on every text: it inserts between characters, and then changes the form of the result."""
    core = Tokenizer(WordLevel({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
    core.normalizer = normalizers.Sequence([normalizers.Replace("", "我"), normalizers.NFC()])
    return PreTrainedTokenizerFast(tokenizer_object=core, unk_token="[UNK]")


def test_a_tokenizer_that_knows_no_unknown_word_is_named() -> None:
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel({"a": 0})))
    model = BertModel(BertConfig(vocab_size=1, hidden_size=8, num_hidden_layers=1, num_attention_heads=1))
    lens = normlens.load((model, tokenizer))
    assert lens.analyze("a").conservation_error < 1e-5
    with pytest.raises(
        InvalidInput, match=r"tokenizer of BertModel fails inside the tokenizers library .*Missing \[UNK\]"
    ):
        lens.analyze("b")


def test_a_tokenizer_that_fails_in_its_library_is_named(tmp_path: Path) -> None:
    tokenizer = failing_tokenizer()
    model = BertModel(BertConfig(vocab_size=2, hidden_size=8, num_hidden_layers=1, num_attention_heads=1))
    lens = normlens.load((model, tokenizer))
    message = "The tokenizer of .* fails inside the tokenizers library .* Pass token ids"
    for call in (lens.analyze, lens.attribute, lambda _: SubwordTokenizer(tokenizer)):
        with pytest.raises(InvalidInput, match=message):
            call("a")  # type: ignore[operator]
    assert lens.analyze([1, 1])["encoder"]["source_token"].values.tolist() == ["a", "a"]
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    result = CliRunner().invoke(app, ["analyze", str(tmp_path), "a"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert re.search(message, " ".join(result.stderr.split()))
    whole = json.loads((tmp_path / "tokenizer.json").read_text())
    flags = dict.fromkeys(["single_word", "lstrip", "rstrip", "special"], False)
    whole["added_tokens"] = [{"id": 1, "content": "a", "normalized": True} | flags]  # its form is changed on loading
    (tmp_path / "tokenizer.json").write_text(json.dumps(whole))
    with pytest.raises(InvalidInput, match=r"The tokenizer of .* could not be loaded .*PanicException"):
        normlens.load(tmp_path)
