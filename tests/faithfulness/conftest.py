"""Classifiers whose numbers a person can check: one that adds up weights of words, and a tiny random BERT."""

from __future__ import annotations

import pytest
import torch
from bag_of_words import Adding
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

import normlens


@pytest.fixture
def adding() -> Adding:
    """Weights .2, .1, 0 and −.1."""
    return Adding({"good": 0.2, "fine": 0.1, "the": 0.0, "bad": -0.1, "two": 0.05})


@pytest.fixture(scope="session")
def classifier(tokenizer: PreTrainedTokenizerFast) -> normlens.Lens:
    """A lens on a tiny random BERT with three classes, its weights large enough for the words to matter."""
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=99, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, num_labels=3,
        max_position_embeddings=40, initializer_range=0.4, pad_token_id=0,
    )  # fmt: skip
    return normlens.load((BertForSequenceClassification(config), tokenizer))
