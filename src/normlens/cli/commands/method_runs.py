"""Attributions by one or several methods, with progress on standard error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from normlens.cli.commands.attribution_question import AttributionQuestion
from normlens.cli.commands.named_methods import SELECTION, SELECTION_FOR_PAIRS
from normlens.cli.media_inputs import Read
from normlens.cli.opening import quiet
from normlens.cli.terminal import messages, waiting
from normlens.engine.tracing.layer_numbers import listed
from normlens.errors import InvalidInput, NormLensError

if TYPE_CHECKING:
    import xarray as xr

    from normlens import Lens
    from normlens.attribution import Method


def explain(
    lens: Lens,
    text: Read,
    question: AttributionQuestion,
    method: Method,
    scope: str | None = None,
    layer: int | None = None,
    own: Mapping[str, Any] = MappingProxyType({}),
) -> xr.DataArray:
    """Attribute with one method.

    Parameters
    ----------
    lens, text, question
        The model, its input, and what to explain.
    method, scope
        As :meth:`normlens.Lens.attribute` takes them.
    layer
        For methods with one map per layer: the map rolled out through this layer, or what this layer adds to the target.
    own
        The method's own options, from :func:`normlens.cli.commands.named_methods.own_options`.

    Raises
    ------
    NormLensError
        As :meth:`normlens.Lens.attribute`; also if the model has no such layer.
    """
    options = {**question.options(lens, method), **own}
    if layer is not None:
        options["layers"] = "rolled" if method.targets == "none" else "each"
    with waiting(f"Running {method.name}"), quiet():
        result: xr.DataArray = lens.attribute(question.reads(text), method=method.name, scope=scope, **options)
    if layer is None:
        return result
    numbers = result["layer"].values.tolist()
    if layer not in numbers:
        raise InvalidInput(f"There is no layer {layer}; expected one of {listed(numbers)}. Choose another.")
    return result.sel(layer=layer)


def explain_all(
    lens: Lens, text: Read, question: AttributionQuestion, methods: Sequence[Method] | None
) -> list[xr.DataArray]:
    """Attribute with several methods; by default with those of a small selection that can explain this model.

    Raises
    ------
    NormLensError
        If a named method, or every method of the selection, can't explain this model.
    """
    if methods is not None:
        return [explain(lens, text, question, method) for method in methods]
    from normlens.attribution import method_named

    results, error = [], None
    for name in SELECTION_FOR_PAIRS if lens.model.config.is_encoder_decoder else SELECTION:
        try:
            results.append(explain(lens, text, question, method_named(name)))
        except NormLensError as refused:
            error = error or refused
            messages().print(f"Left out {name}: {refused}", markup=False, soft_wrap=True)
    if error is not None and not results:
        raise error
    return results
