"""Where the sources of a model are: its token embeddings, patches or audio frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

from normlens.engine.capture.hooks import in_this_thread
from normlens.engine.frozen.sites import CONVOLUTIONS
from normlens.errors import InvalidInput

NAMED_SOURCES = {"CanineModel": "char_embeddings", "CsmForConditionalGeneration": "embed_text_tokens"}
"""Models that name no input embeddings, or others than those that their text goes through."""


def source_modules(model: nn.Module) -> list[nn.Module]:
    """Where sources enter: the input embeddings of the model and of every model inside it, each once.

    A model that names no input embeddings enters by its first embedding or convolution: audio encoders, and some
    vision models. Only the whole model may enter by a linear map: inside, that is a decoder that starts from queries.
    """
    found: list[nn.Module] = []
    for part in (x for x in model.modules() if isinstance(x, PreTrainedModel)):
        embeddings = _input_embeddings(part)
        if embeddings is None and not any(isinstance(x, PreTrainedModel) for x in part.modules() if x is not part):
            embeddings = _first_map(part)
            embeddings = None if part is not model and isinstance(embeddings, nn.Linear) else embeddings
        found += list(embeddings) if isinstance(embeddings, nn.ModuleList) else [embeddings] if embeddings else []
    found = found or [x for x in [_first_map(model)] if x is not None]
    return list(dict.fromkeys([*found, *_tables_of_plain_decoders(model)]))


@contextmanager
def embeddings_given(model: nn.Module, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Show vectors that are given instead of token ids to ``change``, and go on with what it returns."""

    def before(module: nn.Module, args: Any, kwargs: Any) -> Any:
        vectors = kwargs.get("inputs_embeds")
        return None if vectors is None else (args, {**kwargs, "inputs_embeds": change(vectors)})

    handle = model.register_forward_pre_hook(in_this_thread(before), with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def is_part(path: str, module: nn.Module) -> bool:
    """Whether sources inside a module are named by it: a model, or a decoder that is none but embeds tokens (FSMT)."""
    plain = path.rpartition(".")[2] == "decoder" and isinstance(getattr(module, "embed_tokens", None), nn.Embedding)
    return plain or isinstance(module, PreTrainedModel)


def _tables_of_plain_decoders(model: nn.Module) -> list[Any]:
    """Embeddings of decoders that are no models of their own and share no table with the encoder."""
    if not getattr(getattr(model, "config", None), "is_encoder_decoder", False):
        return []
    parts = ((path, x) for path, x in model.named_modules() if path and not isinstance(x, PreTrainedModel))
    return [x.embed_tokens for path, x in parts if is_part(path, x)]


def _first_map(model: nn.Module) -> nn.Module | None:
    maps = ((path, x) for path, x in model.named_modules() if isinstance(x, (nn.Embedding, nn.Linear, *CONVOLUTIONS)))
    return next((x for path, x in maps if "pos" not in path), None)


def _input_embeddings(model: PreTrainedModel) -> nn.Module | None:
    if type(model).__name__ in NAMED_SOURCES:
        named: nn.Module = model.get_submodule(NAMED_SOURCES[type(model).__name__])
        return named
    try:
        embeddings = model.get_input_embeddings()
    except (NotImplementedError, AttributeError):
        return None
    return embeddings if isinstance(embeddings, nn.Module) else None


def batch_size(inputs: Mapping[str, Any]) -> int:
    """The number of rows: of the token ids, or else the smallest of any tensor (patches may be laid end to end).

    Raises
    ------
    InvalidInput
        If the inputs are no mapping, hold no tensor, or hold token ids without a batch axis or without a token.
    """
    if not isinstance(inputs, Mapping):
        raise InvalidInput(
            f"{type(inputs).__name__} was given as the inputs; expected a mapping from the names of what the model's "
            "forward takes to tensors. Pass what the tokenizer gives with return_tensors='pt'."
        )
    rows = {name: int(x.shape[0]) for name, x in inputs.items() if isinstance(x, Tensor) and x.ndim}
    if not rows:
        raise InvalidInput(
            f"The inputs {sorted(map(str, inputs))} hold no tensor; expected what the model's forward takes. Pass what "
            "the tokenizer gives with return_tensors='pt'."
        )
    ids = inputs.get("input_ids")
    if isinstance(ids, Tensor) and (ids.ndim < 2 or not ids.numel()):
        raise InvalidInput(
            f"input_ids has shape {tuple(ids.shape)}; expected (batch, token), with at least one of each. Give one text "
            "as a batch of one: ids[None]."
        )
    return rows.get("input_ids", min(rows.values()))
