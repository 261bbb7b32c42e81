"""Small models and tokenizers, as checkpoints."""

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import (
    BertConfig,
    BertForMaskedLM,
    PreTrainedTokenizerFast,
)

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


def tokenizer_of(words: int) -> PreTrainedTokenizerFast:
    vocabulary = {"[UNK]": 0} | {f"word{number}": number for number in range(1, words)}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]")


def bert(model_class: type = BertForMaskedLM) -> BertForMaskedLM:
    torch.manual_seed(0)
    return model_class(BertConfig(vocab_size=50, max_position_embeddings=32, **SMALL))
