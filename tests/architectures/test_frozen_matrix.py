"""Every model type of transformers, held frozen: is it an affine map of its inputs, in both directions?

Model files compute some norms and softmaxes in float32, whatever the model's dtype. Here float32 is read as float64, so
that a model is exact to 1e-9 and rounding can't hide a wrong rule.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from architectures import tiny
from normlens.engine.capture.trees import first_tensor
from normlens.engine.frozen import check, pull_back
from normlens.engine.frozen.pullback import split
from normlens.engine.frozen.settings import plain_settings
from normlens.errors import ConservationError, UnknownOperation

TABLE = Path(__file__).parent / "results" / "frozen.tsv"
EXACT = 1e-9
SEEN_BY_ANSWER = ("last_hidden_state", "logits", "text_embeds")

MAX_POOLING = (UnknownOperation, "max_pool2d")
REFUSED: dict[str, tuple[type[Exception], str]] = {
    "blt": (UnknownOperation, "scatter_reduce"),
    "conditional_detr": MAX_POOLING,
    "dab-detr": MAX_POOLING,
    "detr": MAX_POOLING,
    "fastspeech2_conformer": (ConservationError, "FastSpeech2ConformerModel"),  # adds what it detached itself
    "hiera": (ConservationError, "HieraModel"),  # pools by Tensor.max, whose result may only be a factor
    "mimi": (UnknownOperation, "cdist"),
    "mra": (UnknownOperation, "custom autograd"),
    "sam3_vision_model": MAX_POOLING,
    "sew-d": (UnknownOperation, "custom autograd"),
    "table-transformer": MAX_POOLING,
    "yoso": (UnknownOperation, "acos"),
}
"""Types that the closed list doesn't cover, with what the error must name."""

NO_SOURCE: dict[str, str] = {
    "blip_2_qformer": "its sources, query vectors, are an argument",
    "flava_multimodal_model": "its sources, hidden states, are an argument",
    "mobilevit": "at this size its random convolutions leave less than rounding of the image",
    "pe_audio_encoder": "its answer is quantized",
    "qwen3_omni_moe_vision_encoder": "names no embeddings, and defines other maps before its patch projection",
    "reformer": "refuses to run with gradients outside training",
    "sam_hq": "its first answer is a score that no patch reaches",
    "xcodec": "its first answer is codes",
}
"""Types where nothing can be split without naming the sources."""

SINGLE_PRECISION = frozenset({"kosmos_2_text_model", "xglm"})
"""Types whose files write float64's smallest number into float32."""


FEW = 64
"""Numbers of a long answer that a scalar looks at: tens of thousands add rounding of their own."""


class DoublePrecision(TorchFunctionMode):
    """Reads float32 as float64 in every call."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        def wide(x: Any) -> Any:
            return torch.float64 if x is torch.float32 else x

        func = torch.Tensor.double if func is torch.Tensor.float else func
        return func(*map(wide, args), **{name: wide(x) for name, x in (kwargs or {}).items()})


@pytest.fixture(scope="module")
def table() -> Iterator[list[str]]:
    """Lines of the results table; written where NORMLENS_WRITE_TABLES=1."""
    lines: list[str] = []
    yield lines
    if os.environ.get("NORMLENS_WRITE_TABLES") == "1":
        TABLE.parent.mkdir(exist_ok=True)
        header = "model_type\tprecision\tvalue_error\tconservation_error\tdirection_gap\tsource_share\tfloat32_error"
        TABLE.write_text("\n".join([header, *sorted(lines)]) + "\n")


@pytest.mark.parametrize("model_type", [x for x in tiny.model_types() if x not in REFUSED and x not in NO_SOURCE])
def test_a_frozen_model_is_affine(model_type: str, table: list[str]) -> None:
    model, inputs = built(model_type)
    shares = split(model, inputs, random_scalar(model, inputs), product="half", sources=None)
    rounding = shares.largest_conservation_error
    exact = model_type not in SINGLE_PRECISION
    if exact:
        model, inputs = model.double(), tiny.inputs(model_type, model.double(), batch=1, length=5)
    with DoublePrecision() if exact else nullcontext():
        result = check(model, inputs, random_scalar(model, inputs))
    errors = (result.value_error, result.conservation_error, result.direction_gap)
    numbers = (f"{x:.1e}" for x in (*errors, result.source_share, rounding))
    table.append("\t".join([model_type, "float64" if exact else "float32", *numbers]))
    assert max(errors) < (EXACT if exact else result.tolerance), result
    assert result.source_share > 1e-3, result
    assert rounding < 1e-5


@pytest.mark.parametrize("model_type", sorted(REFUSED))
def test_what_has_no_rule_is_refused_by_name(model_type: str) -> None:
    error, name = REFUSED[model_type]
    model, inputs = built(model_type)
    with pytest.raises(error, match=name):
        pull_back(model, inputs, random_scalar(model, inputs))


def built(model_type: str) -> tuple[Any, dict[str, Tensor]]:
    torch.manual_seed(0)
    model = tiny.build(model_type)
    return model, tiny.inputs(model_type, model, batch=1, length=5)


def random_scalar(model: Any, inputs: dict[str, Tensor]) -> Callable[[Any], Tensor]:
    """A random linear function of the model's answer, for a batch of one; of a vocabulary, the first logits alone."""
    with torch.no_grad(), plain_settings(model):
        example = answer(model(**inputs))
    weights = torch.randn(example.shape, dtype=example.dtype, generator=torch.Generator().manual_seed(1))
    weights[..., FEW:] = 0

    def scalar(output: Any) -> Tensor:
        return (answer(output) * weights).sum().reshape(1)

    return scalar


def answer(output: Any) -> Tensor:
    field = next((output[name] for name in SEEN_BY_ANSWER if isinstance(output, dict) and name in output), output)
    tensor = first_tensor(field)
    assert tensor is not None
    return tensor
