"""DecompX: contributions carried through all layers, feed-forward blocks and the classifier included (Modarressi 2023).

With a target, every source gets a signed share of it, exactly, by one backward pass through the frozen model; with steps=,
shares are averaged over several frozen models. Without a target, forward differentiation gives the contribution vectors of
every source at the model's last hidden state, or at any module.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from normlens.attribution.arrays import Attribution, flow_map, shares
from normlens.attribution.methods.decompx_averaged import averaged_shares
from normlens.attribution.methods.integrated_gradients import check_baseline, check_steps
from normlens.attribution.registry import Method, Request
from normlens.attribution.subject import Subject
from normlens.attribution.targets.answer_tokens import AnswerTokens
from normlens.attribution.targets.resolve import resolve
from normlens.engine.frozen import PullBack, Push, Site, pull_back
from normlens.engine.frozen.pullback import pull_back_each
from normlens.engine.precision import working_precision
from normlens.errors import InvalidInput
from normlens.inputs.tokens import Tokens

BIAS_RULE = "biases, position embeddings and literals belong to no source"


def run(subject: Subject, request: Request) -> list[Attribution]:
    """Signed shares of the target, ``(source,)``; without one, vectors or their norms, ``(target, source)``."""
    steps = request.options["steps"]
    if request.targets is None and steps is None:
        return _vectors(subject, request)
    if steps is not None and (request.targets is None or request.options["sources"] is not None):
        raise InvalidInput(
            "steps= averages shares of a target over the token embeddings. Name a target and omit sources=, or omit steps=."
        )
    if request.options["at"] is not None or request.options["vectors"]:
        raise InvalidInput(
            "at= and vectors= choose contribution vectors, but the shares of a target are numbers. Omit the target, or omit "
            "at= and vectors=."
        )
    return _shares(subject, request) if steps is None else averaged_shares(resolve(subject, request), request)


def check(request: Request) -> None:
    """Refuse an invalid number of steps or baseline, and a baseline without steps."""
    steps, baseline = request.options["steps"], request.options["baseline"]
    if steps is not None:
        check_steps(steps)
        check_baseline(baseline)
    elif baseline != OPTIONS["baseline"]:
        raise InvalidInput(
            "baseline= is the start of the path that steps= averages over, but steps= is missing. Pass steps=, or omit "
            "baseline=."
        )


def _shares(subject: Subject, request: Request) -> list[Attribution]:
    target = resolve(subject, request)
    subject = target.subject
    split = pull_back(
        subject.model,
        subject.inputs,
        target.linear,
        product=request.product,
        sources=_entry(request.options["sources"]),
    )
    remainder = target.remainder
    results = []
    for text in range(len(subject)):
        attrs = {
            "target": target.names[text],
            "linear_form": "exact" if target.is_linear_for(text) else "local, at the output",
            "remainder": float(remainder[text]),
        }
        results.append(_one_split(subject, split, text, request, attrs))
    return results


def run_each(subject: Subject, request: Request) -> list[Attribution]:
    """Signed shares of several targets in one text, ``(source,)`` each, by one frozen run and one backward pass for each."""
    if request.options != OPTIONS or not all(isinstance(target, AnswerTokens) for target in request.targets or ()):
        return [run(subject, one)[0] for one in request.singly()]
    targets: list[AnswerTokens] = list(request.targets or ())
    left: list[list[Tensor]] = []

    def forms(output: Any) -> Tensor:
        each, remainders = zip(*(target.function.form(output, 0) for target in targets), strict=True)
        left[:] = [list(remainders)]
        return torch.stack(each)

    splits = pull_back_each(subject.model, subject.inputs, forms, product=request.product)
    results = []
    for target, split, remainder in zip(targets, splits, left[0], strict=True):
        form = "exact" if target.score == "logit" else "local, at the output"
        attrs = {"target": target.named(), "linear_form": form, "remainder": float(remainder)}
        results.append(_one_split(subject, split, 0, request, attrs))
    return results


def _one_split(subject: Subject, split: PullBack, row: int, request: Request, attrs: Mapping[str, Any]) -> Attribution:
    """The shares of one row, without padding."""
    placed = subject.sources(row, split.groups)
    kept = torch.cat([split.shares[row, where] for _, _, where in placed])
    numbers = {
        "value": float(split.value[row]) + attrs["remainder"],
        "bias_share": float(split.value[row] - kept.sum()),
        "conservation_error": float(split.conservation_error[row]),
        "rule": f"product: {request.product}; {BIAS_RULE}",
    }
    return shares(kept.cpu(), [(side, tokens) for side, tokens, _ in placed], {**numbers, **attrs})


def _vectors(subject: Subject, request: Request) -> list[Attribution]:
    place, side = _place(subject, request.options["at"])
    push = Push(
        subject.model,
        subject.inputs,
        place,
        chunk_size=request.chunk_size,
        product=request.product,
        sources=_entry(request.options["sources"]),
    )
    _require_positions(push, place)
    whole = bool(request.options["vectors"])
    output, bias = working_precision(push.output), working_precision(push.bias)
    total, sizes, kept = torch.zeros_like(output), bias.norm(dim=-1), []
    for chunk in push:
        vectors = working_precision(chunk.vectors)
        total += vectors.sum(2)
        norms = vectors.norm(dim=-1)
        sizes = sizes + norms.sum(-1)
        kept.append(vectors if whole else norms)
    contributions = torch.cat(kept, dim=2)
    tiny = torch.finfo(sizes.dtype).tiny
    errors = (total + bias - output).norm(dim=-1) / sizes.clamp_min(tiny)
    return [
        _one_map(subject, text, push, contributions, errors, (side, request.product)) for text in range(len(subject))
    ]


def _one_map(
    subject: Subject,
    text: int,
    push: Push,
    contributions: Float[Tensor, "batch target source *feature"],
    errors: Float[Tensor, "batch target"],
    settings: tuple[str, str],
) -> Attribution:
    """The contributions within one text, without padding."""
    side, product = settings
    example = subject.examples[text]
    tokens: Tokens | None = example.source if side == "source" else subject.read(text)
    tokens = (
        tokens
        if tokens is not None and len(tokens) <= contributions.shape[1]
        else example.label(contributions.shape[1])
    )
    placed = subject.sources(text, push.groups)
    values = torch.cat([contributions[text, : len(tokens), where] for _, _, where in placed], dim=1)
    output, bias = (working_precision(x)[text, : len(tokens)] for x in (push.output, push.bias))
    attrs = {
        "target": "hidden states",
        "value": float(output.norm()),
        "bias_share": float(bias.norm()),
        "conservation_error": float(errors[text, : len(tokens)].max()),
        "rule": f"product: {product}; {BIAS_RULE}",
    }
    result = flow_map(values.cpu(), tokens, [(s, t) for s, t, _ in placed], attrs)
    return result.assign_coords(
        target_norm=("target", _numpy(output.norm(dim=-1))), target_bias_norm=("target", _numpy(bias.norm(dim=-1)))
    )


def _place(subject: Subject, at: Any) -> tuple[str | Site, str]:
    """The site whose vectors are split, and the side of its tokens: "source" or "target"."""
    if at is None:
        return subject.path_of_hidden_states(), "target"
    site = at if isinstance(at, Site) else Site(at) if isinstance(at, str) else None
    if site is None:
        raise InvalidInput(
            f"at={at!r}; expected the path of a module, such as 'encoder.layer.0', or a normlens.engine.frozen.Site. "
            "The default is "
            "the model's last hidden states."
        )
    in_encoder = subject.is_encoder_decoder and "encoder" in site.path.split(".")
    return site, "source" if in_encoder else "target"


def _entry(sources: Any) -> str | Site | None:
    """The site where the sources enter: the token embeddings by default."""
    if sources is None or isinstance(sources, str | Site):
        return sources
    raise InvalidInput(
        f"sources={sources!r}; expected the path of a module, such as 'embeddings', or a normlens.engine.frozen.Site. "
        "The default is "
        "the token embeddings."
    )


def _require_positions(push: Push, place: str | Site) -> None:
    if push.output.ndim != 3:
        raise InvalidInput(
            f"{place!r} returns a tensor of shape {tuple(push.output.shape)}; expected hidden states (batch, position, d). "
            "Name a layer, or pass a target for a scalar."
        )


def _numpy(x: Tensor) -> NDArray[np.floating[Any]]:
    array: NDArray[np.floating[Any]] = x.cpu().double().numpy()
    return array


OPTIONS: Mapping[str, Any] = MappingProxyType(
    {"at": None, "vectors": False, "sources": None, "steps": None, "baseline": "mask"}
)

METHOD = Method(
    name="decompx",
    meaning="Signed share of each source in a class, a token's logit or any other scalar, through the whole model, exactly; "
    "without a target, its contribution vectors at the last hidden states.",
    source="Modarressi et al. 2023, DecompX",
    scopes=(),
    targets="optional",
    signed=True,
    exact=True,
    run=run,
    options=OPTIONS,
    check=check,
    run_each=run_each,
)
