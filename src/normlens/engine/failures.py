"""Why an unmodified model failed on an input: the input is wrong, or the model itself fails.

The input is blamed only if its fault is certain: from the signature of the model's forward, from its position limit, or from
an error raised by transformers' own code.
"""

from __future__ import annotations

import inspect
import re
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel

from normlens.errors import InvalidInput, ModelError, NormLensError
from normlens.loading.positions import position_limit
from normlens.memory import is_out_of_memory

_SEQUENCES = ("input_ids", "inputs_embeds", "decoder_input_ids", "decoder_inputs_embeds")


def require_arguments(model: PreTrainedModel, inputs: Mapping[str, Any]) -> None:
    """Refuse inputs that lack a required argument of the model's forward.

    Raises
    ------
    InvalidInput
        Naming what is missing.
    """
    parameters = inspect.signature(model.forward).parameters.values()
    required = [
        p.name for p in parameters if p.default is p.empty and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    ]
    missing = [name for name in required if name not in inputs]
    if missing:
        raise InvalidInput(_needs(model, inputs, missing))


@contextmanager
def explained_failure(model: PreTrainedModel, inputs: Mapping[str, Any], advice: str = "") -> Iterator[None]:
    """Explain why an unmodified model failed; errors of normlens and out-of-memory errors pass unchanged.

    Parameters
    ----------
    model, inputs
        The model, and its inputs.
    advice
        Further advice for the message, as a sentence.

    Raises
    ------
    InvalidInput
        If the input is certainly at fault.
    ModelError
        Otherwise.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, NormLensError) or is_out_of_memory(error):
            raise
        raise _reason(model, inputs, error, f" {advice}" if advice else "") from error


def _reason(model: PreTrainedModel, inputs: Mapping[str, Any], error: Exception, advice: str) -> NormLensError:
    shapes, name = described(inputs), type(model).__name__
    raised = f"{type(error).__name__}: {str(error).strip() or 'no message'}".rstrip(".") + "."
    if unknown := _unknown(model, inputs):
        return InvalidInput(
            f"{name} can't read the inputs {shapes}: its forward has no argument {' or '.join(unknown)}. Omit it.{advice}"
        )
    if lacking := _named(error, model, inputs) or _left_none(error, model, inputs):
        return InvalidInput(f"{_needs(model, inputs, lacking)} It raised {raised}{advice}")
    longest = max((x.shape[1] for n in _SEQUENCES if isinstance(x := inputs.get(n), Tensor) and x.ndim > 1), default=0)
    if longest > position_limit(model):
        return InvalidInput(
            f"{name} can't read the inputs {shapes}: it has {position_limit(model)} positions. Truncate or split "
            f"the text.{advice}"
        )
    if short := _too_short(model, inputs):
        return InvalidInput(f"{name} can't read the inputs {shapes}: {short} Pass a longer sound.{advice}")
    if isinstance(error, ValueError) and _raised_in(error).startswith("transformers."):
        return InvalidInput(f"{name} rejects the inputs {shapes}: {raised}{advice}")
    return ModelError(
        f"{name} itself fails on {shapes}: {raised} It ran unmodified, before anything was measured. Call the model on "
        f"the same tensors to see why.{advice}"
    )


def described(inputs: Mapping[str, Any]) -> str:
    """Names of the inputs with their shapes, for a message."""
    return ", ".join(f"{n} {tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__}" for n, x in inputs.items())


def _needs(model: PreTrainedModel, inputs: Mapping[str, Any], missing: list[str]) -> str:
    return (
        f"{type(model).__name__} can't read the inputs {described(inputs)} without {', '.join(missing)}. Pass everything "
        "that its processor or tokenizer returns."
    )


def _unknown(model: PreTrainedModel, inputs: Mapping[str, Any]) -> list[str]:
    """Inputs that the model has no argument for."""
    parameters = inspect.signature(model.forward).parameters
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    return [] if takes_all else [name for name in inputs if name not in parameters]


def _absent(model: PreTrainedModel, inputs: Mapping[str, Any]) -> list[str]:
    """Arguments of the model's forward that weren't passed."""
    return [name for name in inspect.signature(model.forward).parameters if inputs.get(name) is None]


def _named(error: Exception, model: PreTrainedModel, inputs: Mapping[str, Any]) -> list[str]:
    """Arguments that weren't passed, if the model's own error names them."""
    if not isinstance(error, (ValueError, TypeError)) or not _raised_in(error).startswith("transformers."):
        return []
    words = set(re.findall(r"\w+", str(error)))
    return [name for name in _absent(model, inputs) if name in words]


def _left_none(error: Exception, model: PreTrainedModel, inputs: Mapping[str, Any]) -> list[str]:
    """Arguments that weren't passed, if the model's code used None in place of such a tensor."""
    if "NoneType" not in str(error) or not _raised_in(error).startswith("transformers."):
        return []
    frame = list(traceback.walk_tb(error.__traceback__))[-1][0]
    absent = [name for name in _absent(model, inputs) if frame.f_locals.get(name, 0) is None]
    line = "".join(traceback.extract_tb(error.__traceback__)[-1].line or "")
    return [name for name in absent if re.search(rf"\b{name}\b", line)]


def _too_short(model: PreTrainedModel, inputs: Mapping[str, Any]) -> str:
    """A sentence if a waveform has too few samples for one position, by the model's own count; otherwise empty."""
    waveform = inputs.get("input_values")
    count = next((f for m in model.modules() if (f := getattr(m, "_get_feat_extract_output_lengths", None))), None)
    if not isinstance(waveform, Tensor) or waveform.ndim != 2 or count is None:
        return ""
    samples = waveform.shape[1]
    if int(count(samples)) > 0:
        return ""
    enough = next((n for n in range(samples + 1, 100_000) if int(count(n)) > 0), None)
    return f"{samples} samples are less than one frame" + (f", which takes at least {enough}." if enough else ".")


def _raised_in(error: Exception) -> str:
    """The Python module whose code raised an error; a check that torch runs counts as its caller's."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    checks = [frame for frame in frames if frame.f_code.co_name == "torch_compilable_check"]
    return str((checks or frames)[-1].f_globals.get("__name__", "")) if frames else ""
