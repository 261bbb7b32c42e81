"""Integrated gradients: the gradient averaged on the path from a baseline to the input, through captum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from normlens.attribution.arrays import Attribution
from normlens.attribution.methods.embedding_function import Embedded
from normlens.attribution.registry import Method, Request
from normlens.attribution.subject import Subject
from normlens.attribution.targets.resolve import resolve
from normlens.engine.precision import double
from normlens.errors import ConservationError, InvalidInput, UnsupportedArchitecture

_MOST_STEPS = 2000  # the points of a Gauss–Legendre rule are the eigenvalues of a matrix of this size
BASELINES = ("zero", "mean", "mask", "pad", "unknown")


def run(subject: Subject, request: Request) -> list[Attribution]:
    """Signed shares of the target's distance from its value at the baseline, ``(source,)``."""
    steps, baseline = request.options["steps"], request.options["baseline"]
    function = Embedded.of(resolve(subject, request))
    places = zip(function.vectors, function.tables, strict=True)
    start = tuple(baseline_of(function.target.subject, x, baseline, table) for x, table in places)
    products = function.explained_by(
        "IntegratedGradients",
        baselines=start,
        n_steps=steps,
        method="gausslegendre",
        internal_batch_size=max(request.chunk_size, len(subject)),
    )
    with torch.no_grad():
        base = double(function(*start))
    rule = f"{steps} points of Gauss–Legendre from the baseline {baseline!r}; bias_share is the target's value there"
    results = function.results(products, rule, base)
    _require_sums(results, request.options)
    return results


def check(request: Request) -> None:
    """Refuse invalid steps, baselines and tolerances."""
    check_steps(request.options["steps"])
    check_baseline(request.options["baseline"])
    tolerance = request.options["tolerance"]
    if isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or not tolerance >= 0:
        raise InvalidInput(
            f"tolerance is {tolerance!r}; expected a non-negative number: the share of the target that may be missed, such "
            "as 0.1."
        )


def check_steps(steps: object) -> None:
    """Refuse an invalid number of points on the path from the baseline."""
    if isinstance(steps, bool) or not isinstance(steps, int) or not 1 <= steps <= _MOST_STEPS:
        raise InvalidInput(
            f"steps is {steps!r}; expected an integer from 1 to {_MOST_STEPS}, the number of points on the path."
        )


def check_baseline(name: object) -> None:
    """Refuse unknown baselines."""
    if name not in BASELINES:
        raise InvalidInput(f"baseline={name!r}; expected one of {', '.join(BASELINES)}.")


def _require_sums(results: Sequence[Attribution], options: Mapping[str, Any]) -> None:
    """Refuse shares that miss the target by more than the tolerance."""
    worst = max((float(result.attrs["conservation_error"]) for result in results), default=0.0)
    if not worst <= options["tolerance"]:
        raise ConservationError(
            f"Integrated gradients from baseline={options['baseline']!r} with {options['steps']} points miss {worst:.0%} of "
            f"Σ|share| + |value at the baseline|; expected at most {options['tolerance']:.0%}. Use more steps=, another "
            "baseline= (a model that normalizes the bare embedding is discontinuous at zero), a larger tolerance=, or "
            "method='decompx', which is exact."
        )


def baseline_of(subject: Subject, x: Tensor, name: object, table: nn.Module) -> Tensor:
    """The start of the path: zeros, the mean of all embeddings, or a special token's embedding, at every position.

    Parameters
    ----------
    subject
        The model and its texts.
    x
        The vectors that enter, ``(batch, source, d)``.
    name
        One of the baselines.
    table
        The module whose output enters.
    """
    check_baseline(name)
    if name == "zero":
        return torch.zeros_like(x)
    embeddings: Any = table if hasattr(table, "weight") else subject.model.get_input_embeddings()
    if name == "mean":
        return _mean_embedding(embeddings).to(x.dtype).expand_as(x).clone()
    attribute = {"unknown": "unk"}.get(str(name), str(name)) + "_token_id"
    token = getattr(subject.tokenizer, attribute, None)
    if token is None:
        raise InvalidInput(
            f"baseline={name!r}, but the tokenizer has no {name} token. Choose another of {', '.join(BASELINES)}."
        )
    with torch.no_grad():
        vector: Tensor = embeddings(torch.tensor([token], device=x.device))
    return vector.to(x.dtype).expand_as(x).clone()


def _mean_embedding(table: Any) -> Float[Tensor, " d"]:
    """The mean of an embedding module's outputs, which may be scaled (Gemma, M2M-100).

    Raises
    ------
    UnsupportedArchitecture
        If its outputs aren't its rows, up to a scale.
    """
    weight = table.weight.detach()
    longest = weight.norm(dim=-1).argmax()
    with torch.no_grad():
        output, row = table(longest[None])[0], weight[longest]
    scale = (output @ row) / (row @ row)
    if not (output - scale * row).norm() <= 1e-2 * output.norm():
        raise UnsupportedArchitecture(
            f"The outputs of {type(table).__name__} aren't its rows, so their mean is unknown. Choose another "
            f"baseline of {', '.join(BASELINES)}."
        )
    mean: Tensor = scale * weight.mean(0)
    return mean


OPTIONS: Mapping[str, Any] = MappingProxyType({"steps": 50, "baseline": "zero", "tolerance": 0.1})

METHOD = Method(
    name="integrated_gradients",
    meaning="The gradient averaged on the straight path from a baseline to the input, times the distance.",
    source="Sundararajan et al. 2017",
    scopes=(),
    targets="required",
    signed=True,
    exact=False,
    run=run,
    options=OPTIONS,
    check=check,
)
