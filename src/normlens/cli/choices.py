"""Closed sets of values that options of several commands take."""

from __future__ import annotations

from enum import StrEnum


class Measure(StrEnum):
    """How attention is measured. Each command says which of these it takes."""

    norm = "norm"
    weight = "weight"
    displacement = "displacement"


class SinkSources(StrEnum):
    """Sources that often receive much weight, and from which little is moved."""

    first_token = "first_token"
    special = "special"


class Scope(StrEnum):
    """How far a norm follows the vectors. Each command says which of these it takes."""

    attention = "attention"
    residual = "residual"
    layernorm = "layernorm"
    feedforward = "feedforward"
    feedforward_residual = "feedforward_residual"
    block = "block"
    encoder = "encoder"


ATTENTION_SCOPES = (Scope.attention, Scope.residual, Scope.layernorm)
"""The scopes within the attention block."""
LAYER_SCOPES = (*ATTENTION_SCOPES, Scope.feedforward, Scope.feedforward_residual, Scope.block)
"""The scopes within the layer."""


class AnswerScore(StrEnum):
    """What is explained of each token of an answer."""

    logprob = "logprob"
    logit = "logit"


class Split(StrEnum):
    """How to split a product of two factors that both depend on the contributions."""

    half = "half"
    integrated = "integrated"
    first = "first"
    second = "second"


class Reduction(StrEnum):
    """What to keep of the maps of a layer."""

    categories = "categories"
    sinks = "sinks"
    edges = "edges"
    mean = "mean"


class JobKind(StrEnum):
    """What a run over a corpus computes of each text."""

    analyze = "analyze"
    attribute = "attribute"
    align = "align"


class GuidingAligner(StrEnum):
    """The aligner whose links guide the attention of a translation model in training."""

    none = "none"
    eflomal = "eflomal"


class LoadedAs(StrEnum):
    """The head that a model is loaded with."""

    base = "base"
    causal_lm = "causal-lm"
    masked_lm = "masked-lm"
    seq2seq_lm = "seq2seq-lm"
    sequence_classification = "sequence-classification"
    token_classification = "token-classification"
    question_answering = "question-answering"
    image_classification = "image-classification"


class FloatType(StrEnum):
    """The data type of a model's weights."""

    float32 = "float32"
    float64 = "float64"
    bfloat16 = "bfloat16"
    float16 = "float16"
