"""A tokenizer that can fill the memory with one word is refused; those that people use stay far below the limit."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st
from little import little
from tokenizer_kinds import KINDS, tokenizer_of
from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE, WordLevel
from transformers import BertConfig, BertModel, MarianTokenizer, PreTrainedTokenizerFast

import normlens
from normlens.errors import InvalidInput
from normlens.loading.expansion import _copies, _folded, _growth, _steps, check_expansion, check_steps
from normlens.loading.regexes import takes_a_character
from normlens.loading.tokenizer_failures import is_library_failure

TOO_LONG = "can make a text more than 256 times as long"
VOCABULARY = {"[UNK]": 0, "a": 1, "[C]": 2}


def written(component: Any) -> dict[str, Any]:
    state: dict[str, Any] = json.loads(component.__getstate__())
    return state


def growth(*components: Any) -> int:
    return _growth([step for component in components for step in _steps(written(component))])


def word_level(**components: Any) -> PreTrainedTokenizerFast:
    core = Tokenizer(WordLevel(VOCABULARY, unk_token="[UNK]"))
    for name, component in components.items():
        setattr(core, name, component)
    return PreTrainedTokenizerFast(tokenizer_object=core, unk_token="[UNK]")


def doubling(times: int, letter: str = "a") -> Any:
    return normalizers.Sequence([normalizers.Replace(letter, letter * 2)] * times)


def charsmap(*replacements: str) -> str:
    """A precompiled map with an empty trie: what it would put is bounded, wherever its entries point."""
    return base64.b64encode(bytes(4) + b"\0".join(text.encode() for text in replacements)).decode()


# The bound, by hand


@pytest.mark.parametrize(
    ("component", "most"),
    [
        (doubling(5), 2**5),
        (normalizers.Sequence([doubling(2), normalizers.Sequence([doubling(3)])]), 2**5),
        (normalizers.Replace("ab", "aaaa"), 3),  # the b answers for one
        (normalizers.Replace("``", '"'), 1),
        (normalizers.Replace("ß", "ss"), 1),  # two letters by case folding already
        (normalizers.Replace("…", "..."), 1),  # three by NFKD
        (normalizers.Replace(Regex(" {2,}"), "   "), 3),
        (normalizers.Replace(Regex("b*"), "xy"), 1 + 2 + 2),  # beside every letter, and at the end
        (normalizers.Replace("", "xy"), 1 + 2 + 2),
        (normalizers.Sequence([normalizers.Prepend("xyz")] * 4), 1 + 12),
        (normalizers.Sequence([normalizers.Prepend("a"), doubling(3)]), 8 + 8),
        (normalizers.Sequence([normalizers.NFKC(), normalizers.NFD(), normalizers.NFKD(), normalizers.Lowercase()]), 1),
        (normalizers.Sequence([normalizers.BertNormalizer()] * 3), 1 + 3 * 2 + 3 * 2),
        (pre_tokenizers.ByteLevel(add_prefix_space=False), 8),
        (pre_tokenizers.Sequence([pre_tokenizers.Split(Regex("."), "isolated"), pre_tokenizers.Metaspace()]), 2 + 1),
        (decoders.Sequence([decoders.Replace("▁", "  "), decoders.Fuse(), decoders.Strip(" ", 1, 0)]), 2),
    ],
)
def test_what_one_character_becomes(component: Any, most: int) -> None:
    assert growth(component) == most


def test_counting_stops_above_the_limit() -> None:
    assert growth(doubling(900)) == 512


@pytest.mark.parametrize(
    ("pattern", "takes"),
    [
        (" {2,}", True), (r"\s+", True), ("a+?", True), ("a|bc", True), ("(a|b)+", True), ("(?i:ss)", True),
        ("x{1,3}y?", True),
        (r"[[:punct:]]+", True), (r"\p{L}+|[^\p{N}]", True), (r"(?<!\n)\n(?!\n)", True), (r"[\]a-z]", True), ("[]a]", True),
        ("", False), ("a*", False), ("a?", False), ("a??", False), ("a|b*", False), ("(a|)", False), ("(?=a)", False),
        ("a{0,3}", False), ("a{,3}", False), ("(?:a{2})?", False), ("(x*){3}", False), (r"\b", False), ("^", False),
        (r"x\K", False), (r"(?<n>a*)\1", False), ("(?~ab)", False), ("[a[b]]*", False), ("(?i)a", False), ("(a", False),
    ],
)  # fmt: skip
def test_an_expression_that_may_match_nothing(pattern: str, takes: bool) -> None:
    assert takes_a_character(pattern) is takes
    if takes:
        assert normalizers.Replace(Regex(pattern), "!").normalize_str("") == ""


STEPS: list[Callable[[], Any]] = [
    lambda: normalizers.Replace("a", "bb"),
    lambda: normalizers.Replace("b", "aé"),
    lambda: normalizers.Replace("ab", "…b"),
    lambda: normalizers.Replace("é", "e" * 3),
    lambda: normalizers.Replace(Regex("[ab]"), "ba "),
    lambda: normalizers.Replace(Regex("x*"), "我"),
    lambda: normalizers.Prepend("ab"),
    normalizers.NFC, normalizers.NFKC, normalizers.NFD, normalizers.NFKD, normalizers.Lowercase, normalizers.Nmt,
    normalizers.StripAccents, normalizers.BertNormalizer, normalizers.ByteLevel,
]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(STEPS), min_size=1, max_size=5), st.text("abxé…İﷺ我 ", min_size=1, max_size=8))
def test_no_text_outgrows_the_bound(steps: list[Callable[[], Any]], text: str) -> None:
    sequence = normalizers.Sequence([step() for step in steps])
    bound = growth(sequence)
    assume(bound <= 256)
    try:
        became = sequence.normalize_str(text)
    except BaseException as error:  # it can't insert into nothing and then go on
        assert is_library_failure(error)
        reject()
    assert len(became) <= bound * len(_folded(text))


@pytest.mark.parametrize("times", [1, 2])
@settings(max_examples=100, deadline=None)
@given(text=st.text("abé我▁ ", min_size=1, max_size=8))
def test_no_text_outgrows_the_bound_of_pre_tokenizers(times: int, text: str) -> None:
    single = pre_tokenizers.Split(Regex("."), "isolated")
    steps = [single, pre_tokenizers.Metaspace(), single, pre_tokenizers.ByteLevel(add_prefix_space=True)]
    sequence = pre_tokenizers.Sequence(steps * times)
    assert sum(len(piece) for piece, _ in sequence.pre_tokenize_str(text)) <= growth(sequence) * len(_folded(text))


# Tokenizers that people use


@pytest.mark.parametrize("kind", KINDS)
def test_ordinary_tokenizers_are_far_below_the_limit(kind: str) -> None:
    backend = tokenizer_of(kind).backend_tokenizer
    used = [stage for stage in (backend.normalizer, backend.pre_tokenizer) if stage is not None]
    assert growth(*used) <= 16
    check_expansion(kind, tokenizer_of(kind))


def test_a_real_map_of_sentencepiece_replaces_one_character_by_18_at_most(tmp_path: Path) -> None:
    steps = [
        normalizers.Replace("``", '"'), normalizers.Replace("''", '"'), normalizers.NFKD(), normalizers.StripAccents(),
        normalizers.Lowercase(), normalizers.Precompiled(real_charsmap(tmp_path)), normalizers.Replace(Regex(" {2,}"), " "),
    ]  # fmt: skip
    albert = growth(normalizers.Sequence(steps), pre_tokenizers.Metaspace(prepend_scheme="always"))
    assert albert == 18 * 2 + 1


def real_charsmap(folder: Path) -> bytes:
    from normlens.loading.spm_files import _fields

    trained(folder)
    proto = (folder / "m.model").read_bytes()
    return next(precompiled for spec in _fields(proto, (3,)) for precompiled in _fields(spec, (2,)))


def trained(folder: Path, **options: Any) -> str:
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["hello world this is a test"] * 50), model_prefix=str(folder / "m"), vocab_size=15,
        minloglevel=2, **options,
    )  # fmt: skip
    return str(folder / "m.model")


def test_a_long_list_of_replaced_punctuation_is_no_attack() -> None:
    pairs = [
        ("„", '"'),
        ("“", '"'),
        ("…", "..."),
        ("–", " - "),
        ("«", "<<"),
        ("»", ">>"),
        ("ß", "ss"),
        ("æ", "ae"),
        ("½", "1/2"),
    ]
    steps = [normalizers.Replace(old, new) for old, new in pairs * 8]
    assert growth(normalizers.Sequence([*steps, normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), " ")])) <= 3


# What is refused, in memory and in files


@pytest.mark.parametrize(
    "components",
    [
        {"normalizer": doubling(40)},
        {"normalizer": normalizers.Replace("a", "b" * 300)},
        {"normalizer": normalizers.Sequence([normalizers.Prepend("b" * 100)] * 3)},
        {"normalizer": normalizers.Sequence([normalizers.Prepend("a"), doubling(40)])},
        {"normalizer": normalizers.Sequence([normalizers.Replace(Regex("(?=.)"), "b")] * 30)},
        {"normalizer": normalizers.Sequence([normalizers.ByteLevel()] * 30)},
        {"pre_tokenizer": pre_tokenizers.Sequence([pre_tokenizers.ByteLevel(use_regex=False)] * 30)},
        {"decoder": decoders.Sequence([decoders.Replace("a", "aa")] * 40)},
        {"post_processor": processors.TemplateProcessing(single=["$A"] * 300, pair=["$A", "$B"], special_tokens=[])},
        {"post_processor": processors.TemplateProcessing(
            single=["$A"] + ["[C]"] * 20_000, pair=["$A", "$B"], special_tokens=[("[C]", 2)])},
    ],
    ids=str,
)  # fmt: skip
def test_a_tokenizer_that_fills_the_memory_is_refused(components: dict[str, Any], tmp_path: Path) -> None:
    tokenizer = word_level(**components)
    model = BertModel(BertConfig(vocab_size=3, hidden_size=8, num_hidden_layers=1, num_attention_heads=1))
    with pytest.raises(InvalidInput, match=f"{TOO_LONG}.* pass another tokenizer"):
        normlens.load((model, tokenizer))
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    whole = json.loads((tmp_path / "tokenizer.json").read_text())
    content = {"id": 1, "content": "a", "normalized": True, "special": False}
    whole["added_tokens"] = [
        content | dict.fromkeys(["single_word", "lstrip", "rstrip"], False)
    ]  # normalized on loading
    (tmp_path / "tokenizer.json").write_text(json.dumps(whole))
    with little(), pytest.raises(InvalidInput, match=rf"tokenizer\.json {TOO_LONG}"):
        normlens.load(tmp_path)


def test_a_map_with_a_long_replacement_is_refused() -> None:
    step = {"type": "Precompiled", "precompiled_charsmap": charsmap("short", "x" * 257)}
    with pytest.raises(InvalidInput, match=TOO_LONG):
        check_steps("it", {"normalizer": step})
    check_steps("it", {"normalizer": step | {"precompiled_charsmap": charsmap("short", "x" * 256)}})


def test_a_sentencepiece_model_with_a_long_replacement_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rules.tsv").write_text("71\t" + " ".join(["62"] * 300) + "\n")
    model = trained(tmp_path, normalization_rule_tsv=str(tmp_path / "rules.tsv"))
    (tmp_path / "vocab.json").write_text(json.dumps({"<unk>": 0, "</s>": 1, "<pad>": 2}))
    tokenizer = MarianTokenizer(model, model, str(tmp_path / "vocab.json"))
    assert len(tokenizer.current_spm.normalize("q")) > 300
    with pytest.raises(InvalidInput, match=TOO_LONG):
        check_expansion("marian", tokenizer)


def test_templates_that_repeat_the_text() -> None:
    twice = written(processors.TemplateProcessing(single="$A $A", pair="$A $B", special_tokens=[]))
    assert _copies([twice]) == 2
    assert _copies([twice] * 3) == 8
    assert (
        _copies([written(processors.TemplateProcessing(single="[C] $A", pair="$A $B", special_tokens=[("[C]", 1)]))])
        == 1
    )


def test_a_token_of_any_length_is_refused(tmp_path: Path) -> None:
    core = Tokenizer(BPE({"a": 0, "x" * 10_001: 1}, [], unk_token="x" * 10_001))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core)
    model = BertModel(BertConfig(vocab_size=3, hidden_size=8, num_hidden_layers=1, num_attention_heads=1))
    with pytest.raises(
        InvalidInput, match=r"has a token of 10,001 characters, longer than in any real tokenizer \(10,000 at most"
    ):
        normlens.load((model, tokenizer))
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(InvalidInput, match=r"tokenizer\.json has a token of 10,001 characters"):
        normlens.load(tmp_path)


@pytest.mark.parametrize("number", [1_000, 1_001])
def test_steps_without_end_are_refused(number: int) -> None:
    steps = {"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}] * number}}
    if number <= 1_000:
        check_steps("it", steps)
    else:
        with pytest.raises(InvalidInput, match=r"has 1,001 steps, more than any real tokenizer \(1,000 at most\)"):
            check_steps("it", steps)
