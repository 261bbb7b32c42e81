"""Detect and refuse quantized models."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import chain

from torch import nn
from transformers import PreTrainedModel

from normlens.errors import UnsupportedArchitecture
from normlens.memory import is_out_of_memory

DEQUANTIZED = "gguf"
"""The only kind of quantized checkpoint whose weights are plain numbers after loading."""

_MARKS = (
    "quant", "torchao", "bnb", "bitsandbytes", "gptq", "awq", "hqq", "fp8", "mxfp4", "compressed_tensors", "fbgemm", "eetq",
    "vptq", "aqlm", "spqr", "bitnet", "higgs",
)  # fmt: skip
"""Substrings in the names of quantization libraries, and of transformers' files for them."""


def quantization_of(model: nn.Module) -> str | None:
    """The first quantized module or parameter of a model, and its kind; None if nothing is quantized."""
    setting = getattr(getattr(model, "config", None), "quantization_config", None)
    method = setting.get("quant_method") if isinstance(setting, dict) else getattr(setting, "quant_method", None)
    if setting is not None and getattr(method, "value", method) != DEQUANTIZED:
        return f"its config says quant_method {getattr(method, 'value', method)!r}"
    for path, module in model.named_modules():
        if _is_of_quantizer(type(module).__module__):
            return f"{path} is a {type(module).__name__}"
        for name, x in chain(module._parameters.items(), module._buffers.items()):
            if x is None:
                continue
            kind = next((kind for kind in (type(x), type(x.data)) if _is_of_quantizer(kind.__module__)), None)
            if kind is not None:
                return f"{path}.{name} is a {kind.__name__}"
            is_plain = x.is_floating_point() or x.is_complex()
            if (x.itemsize == 1 and is_plain) or (isinstance(x, nn.Parameter) and not is_plain):
                return f"{path}.{name} holds {str(x.dtype).removeprefix('torch.')}"
    return None


def refuse_quantized(model: PreTrainedModel) -> None:
    """Refuse a model whose weights are quantized.

    Raises
    ------
    UnsupportedArchitecture
        Naming the first quantized module or parameter.
    """
    reason = quantization_of(model)
    if reason is not None:
        raise UnsupportedArchitecture(
            f"{type(model).__name__} has quantized weights ({reason}), which are not a plain linear map. Load the model "
            "unquantized, in float32 or bfloat16 (normlens.load dequantizes GGUF files)."
        )


@contextmanager
def quantization_explained(model: PreTrainedModel) -> Iterator[None]:
    """If a run or measurement fails and the model is quantized, raise that as the reason.

    Raises
    ------
    UnsupportedArchitecture
        Instead of any error except out of memory.
    """
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            try:
                refuse_quantized(model)
            except UnsupportedArchitecture as reason:
                raise reason from error
        raise


@lru_cache
def _is_of_quantizer(module: str) -> bool:
    library, *files = module.split(".")
    named = files if library in ("normlens", "transformers") else [library, *files]
    if library == "transformers" and files[:1] != ["integrations"]:
        return False
    return any(mark in name for name in named for mark in _MARKS)
