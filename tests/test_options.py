"""The options of the front door: spelled out, the same in every signature, an unknown one refused with its nearest."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

import normlens
from normlens import alignment, topk
from normlens.analysis.analyze_options import AnalyzeOptions
from normlens.attribution.method_options import AttributeOptions, MethodOptions
from normlens.attribution.registry import registered
from normlens.clustering.model_heads import compare_heads, head_distances
from normlens.errors import InvalidInput


def keyword_only(function: Callable[..., Any]) -> set[str]:
    parameters = inspect.signature(function).parameters.values()
    return {parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}


def test_typed_options_are_those_that_the_door_takes() -> None:
    assert (
        keyword_only(normlens.Lens.analyze) == keyword_only(normlens.Lens.stream) == set(AnalyzeOptions.__annotations__)
    )
    assert keyword_only(normlens.Lens.attribute) | set(MethodOptions.__annotations__) == set(
        AttributeOptions.__annotations__
    )
    assert set(MethodOptions.__annotations__) == {name for method in registered().values() for name in method.options}


@pytest.mark.parametrize(
    ("call", "nearest"),
    [
        (lambda lens: lens.analyze([5, 6], chunksize=2), "'chunk_size'"),
        (lambda lens: lens.analyze([5, 6], target=[7]), "'target_text'"),
        (lambda lens: lens.stream([[5, 6]], batchsize=2), "'batch_size'"),
        (lambda lens: lens.attribute([5, 6], chunksize=2), "'chunk_size'"),
        (lambda lens: lens.attribute([5, 6], method="rollout", residuals=0.1), "'residual'"),
        (lambda lens: normlens.load("minilm-l6", devise="cpu"), "'device'"),
    ],
)
def test_an_unknown_option_names_its_nearest(call: Callable[[Any], Any], nearest: str, lens_of: Any) -> None:
    with pytest.raises(InvalidInput, match=rf"Did you mean {nearest}\?"):
        call(lens_of("bert"))


def test_methods_is_a_function_also_once_a_method_is_imported() -> None:
    import normlens.attribution.methods.logit

    assert callable(normlens.methods)


def test_weight_or_norm_is_chosen_by_one_option_of_one_name() -> None:
    functions: tuple[Callable[..., Any], ...] = (
        normlens.align,
        alignment.Reading,
        head_distances,
        compare_heads,
        topk.use,
        topk.topk_attention,
        topk.use_feedforward,
        topk.topk_feedforward,
    )
    for function in functions:
        parameters = inspect.signature(function).parameters
        assert parameters["measure"].default in topk.MEASURES, function
        assert "by" not in parameters, function
