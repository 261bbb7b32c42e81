"""What several tests of the four tests share: a batch, and a checkpoint that knows the words of the texts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from made_texts import BAD, GOOD, OTHERS
from small_transformers import Batch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast


@pytest.fixture
def batch() -> Batch:
    """Two texts of 7 and 5 tokens, whose first and last tokens are not read."""
    lengths = torch.tensor([7, 5])
    ids = torch.randint(4, 99, (2, 7), generator=torch.Generator().manual_seed(1))
    ids[1, 5:] = 0
    place = torch.arange(7)
    return ids, lengths, (place > 0) & (place < lengths[:, None] - 1)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained BERT that knows the words of the texts."""
    folder = tmp_path_factory.mktemp("bert")
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *OTHERS, *GOOD, *BAD]
    words = Tokenizer(WordLevel({word: k for k, word in enumerate(names)}, unk_token="[UNK]"))
    words.pre_tokenizer = WhitespaceSplit()
    words.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(names), hidden_size=24, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=32, hidden_dropout_prob=0.0, initializer_range=0.2,
    )  # fmt: skip
    torch.manual_seed(0)
    BertModel(config).save_pretrained(folder)
    return folder
