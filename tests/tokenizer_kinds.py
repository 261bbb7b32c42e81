"""Tiny tokenizers of every kind that transformers has, and a lens on a tiny encoder that reads with each."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

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

PIECES = [
    "▁Quality", "▁of", "sufficient", "กํ", "กํา", "า", "น้", "ํา", "ก", "น", "東", "京", "ﬁ", "f", "i", "x", "キロ", "▁x", "...",
    "é", "e", "▁f", "🦀", "\"", ".",
]  # fmt: skip


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
