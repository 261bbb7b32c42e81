"""The measured models: real widths, random weights, few layers (every layer costs the same)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from transformers import BertConfig, BertModel, LlamaConfig, LlamaModel, PreTrainedModel

from normlens.engine.tracing.scopes import ATTENTION_SCOPES, AttentionScope
from normlens.lens import Lens
from normlens.loading.load import LoadedModel

_VOCABULARY = 1000


@dataclass(frozen=True)
class Shape:
    """A family of models by its widths.

    Attributes
    ----------
    name
        Name in tables.
    build
        Function that builds the model with a number of layers.
    heads, width, layers
        Attention heads H, hidden size d, and the number of layers measured by default.
    scopes
        The scopes that the family has.
    """

    name: str
    build: Callable[[int], PreTrainedModel]
    heads: int
    width: int
    layers: int
    scopes: tuple[AttentionScope, ...]

    def model(self, layers: int) -> PreTrainedModel:
        """The model with random weights, the same in every run."""
        torch.manual_seed(0)
        return self.build(layers).eval()

    def floor(self, model: PreTrainedModel, length: int) -> float:
        """Operations of analysis and forward pass relative to the forward pass alone: the ratio if nothing else cost time.

        Per token and layer, in floating-point operations. Forward: every weight once, and attention. Analysis: head
        vectors, their Gram matrices before and (if there is one) after the outer norm, Σ_j α v_j and its projection
        for the conservation check, and the quadratic form of every source.
        """
        layers: int = model.config.num_hidden_layers
        matrices: float = (
            sum(p.numel() for path, p in model.named_parameters() if "layer" in path and p.ndim == 2) / layers
        )
        inner = self.heads * (self.width // self.heads)
        forms = 2 if "layernorm" in self.scopes else 1
        forward = 2 * matrices + 4 * length * inner
        vectors = 2 * inner * self.width + forms * 2 * self.heads**2 * self.width
        conservation = 2 * length * inner + 2 * inner * self.width
        quadratic = forms * 2 * (self.heads**2 + self.heads) * length
        return 1 + (vectors + conservation + quadratic) / forward


def _bert(layers: int) -> PreTrainedModel:
    config = BertConfig(num_hidden_layers=layers, vocab_size=_VOCABULARY, max_position_embeddings=2048)
    return BertModel(config, add_pooling_layer=False)


def _llama(layers: int) -> PreTrainedModel:
    return LlamaModel(
        LlamaConfig(
            hidden_size=2048,
            intermediate_size=8192,
            num_hidden_layers=layers,
            num_attention_heads=32,
            num_key_value_heads=8,
            vocab_size=_VOCABULARY,
            max_position_embeddings=8192,
        )
    )


SHAPES = {
    "bert": Shape("BERT-base (d 768, 12 heads)", _bert, heads=12, width=768, layers=4, scopes=ATTENTION_SCOPES),
    "llama": Shape(
        "Llama-like (d 2048, 32/8 heads)", _llama, heads=32, width=2048, layers=2, scopes=ATTENTION_SCOPES[:2]
    ),
}


def token_ids(batch: int, length: int) -> torch.Tensor:
    """Random token ids, ``(batch, length)``, the same in every run."""
    return torch.randint(5, _VOCABULARY, (batch, length), generator=torch.Generator().manual_seed(length))


def lens_on(model: PreTrainedModel) -> Lens:
    """A lens on a model without a tokenizer, used once: the model is inspected, as for every text except the first."""
    lens = Lens(LoadedModel(model, None, None, type(model).__name__, ""))
    lens.analyze(list(range(5, 13)))
    return lens
