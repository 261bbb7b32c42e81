"""Where sources enter a model: its token embeddings, patches or audio frames."""

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
"""Models whose ``get_input_embeddings`` is missing, or isn't the one that their text passes through."""


def source_modules(model: nn.Module) -> list[nn.Module]:
    """The modules where sources enter: the input embeddings of the model and of every model inside it, each once.

    A model without input embeddings (audio encoders, and some vision models) has its first embedding or convolution instead.
    Only for the whole model, a linear map also counts: in a submodel, it would belong to a decoder that starts from queries.
    """
    modules: list[nn.Module] = []
    for submodel in (x for x in model.modules() if isinstance(x, PreTrainedModel)):
        embeddings = _input_embeddings(submodel)
        if embeddings is None and not any(
            isinstance(x, PreTrainedModel) for x in submodel.modules() if x is not submodel
        ):
            embeddings = _first_map(submodel)
            embeddings = None if submodel is not model and isinstance(embeddings, nn.Linear) else embeddings
        modules += list(embeddings) if isinstance(embeddings, nn.ModuleList) else [embeddings] if embeddings else []
    modules = modules or [x for x in [_first_map(model)] if x is not None]
    return list(dict.fromkeys([*modules, *_tables_of_plain_decoders(model)]))


@contextmanager
def hooked_inputs_embeds(model: nn.Module, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Pass ``inputs_embeds``, if the model reads them in place of token ids, to ``change``, and continue with its result."""

    def before(module: nn.Module, args: Any, kwargs: Any) -> Any:
        vectors = kwargs.get("inputs_embeds")
        return None if vectors is None else (args, {**kwargs, "inputs_embeds": change(vectors)})

    handle = model.register_forward_pre_hook(in_this_thread(before), with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def names_sources(path: str, module: nn.Module) -> bool:
    """Whether sources are labeled by this module's path: a model, or a plain decoder with token embeddings (FSMT)."""
    plain = path.rpartition(".")[2] == "decoder" and isinstance(getattr(module, "embed_tokens", None), nn.Embedding)
    return plain or isinstance(module, PreTrainedModel)


def _tables_of_plain_decoders(model: nn.Module) -> list[Any]:
    """Embeddings of decoders that aren't models of their own and don't share the encoder's table."""
    if not getattr(getattr(model, "config", None), "is_encoder_decoder", False):
        return []
    modules = ((path, x) for path, x in model.named_modules() if path and not isinstance(x, PreTrainedModel))
    return [x.embed_tokens for path, x in modules if names_sources(path, x)]


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
    """The number of rows: of the token ids, otherwise the smallest first axis of any tensor (patches may be concatenated).

    Raises
    ------
    InvalidInput
        If the inputs aren't a mapping, hold no tensor, or hold token ids without a batch axis or without a token.
    """
    if not isinstance(inputs, Mapping):
        raise InvalidInput(
            f"The inputs are a {type(inputs).__name__}; expected a mapping from argument names of the model's forward to "
            "tensors. Pass what the tokenizer returns with return_tensors='pt'."
        )
    rows = {name: int(x.shape[0]) for name, x in inputs.items() if isinstance(x, Tensor) and x.ndim}
    if not rows:
        raise InvalidInput(
            f"The inputs {sorted(map(str, inputs))} hold no tensor; expected arguments of the model's forward. Pass what "
            "the tokenizer returns with return_tensors='pt'."
        )
    ids = inputs.get("input_ids")
    if isinstance(ids, Tensor) and (ids.ndim < 2 or not ids.numel()):
        raise InvalidInput(
            f"input_ids has shape {tuple(ids.shape)}; expected (batch, token), with at least one of each. Pass a single "
            "text as a batch of one: ids[None]."
        )
    return rows.get("input_ids", min(rows.values()))
