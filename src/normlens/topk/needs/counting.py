"""How many sources a target needs: counted in the weights and vectors of a model that runs with its ordinary attention."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Iterable, Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from normlens.engine.capture.eager_check import compare_with_eager, require_eager_attention
from normlens.engine.capture.hooks import evaluation_mode
from normlens.engine.capture.interface import AttentionCall, capturing
from normlens.engine.computation import computing
from normlens.engine.precision import double
from normlens.errors import InvalidInput
from normlens.lens import Lens
from normlens.topk.projections import FactoredProjection, find_projections

COUNTS = ("weight share", "norm share", "weight", "norm", "weight renormalized", "norm renormalized")
"""What `count_sources` counts, for each head and target:

* ``weight share``, ``norm share``: the smallest number of sources with ``share`` of Σα, or of Σα‖f(x)‖;
* ``weight``, ``norm``: the number of largest α, or of largest α‖f(x)‖, from which on Σ αf(x) over them has a relative error
  of ``within`` or less against the full output vector of the head;
* the same ``renormalized``: with the kept weights rescaled to sum to one.
"""


@computing()
def count_sources(
    model: PreTrainedModel | Lens,
    inputs: Mapping[str, Tensor],
    *,
    within: float = 0.1,
    share: float = 0.9,
    targets: Iterable[int] | None = None,
) -> dict[str, dict[str, Int[Tensor, "text head target"]]]:
    """Count the sources that each target needs, in every attention module, in one run of a model.

    Nothing is approximated: the counts of a head refer to its own output vector in an ordinary run, without dropout. How
    the errors of many heads add up is measured by `quality_of`.

    Parameters
    ----------
    model
        A model whose attention goes through transformers' attention interface, or a lens on one.
    inputs
        Keyword arguments of the model, such as ``{"input_ids": …}``; texts of one length, without padding.
    within
        Largest relative error allowed between the truncated and the full output vector of a head.
    share
        Share of all weight, or norm, to be covered, from 0 to 1.
    targets
        Positions of the targets to count, in every module; None: all. Under a causal mask the first ones see only few
        sources.

    Returns
    -------
    dict
        Path of each attention module to its counts by name (`COUNTS`), ``(text, head, target)``. Later calls of a module
        that layers share have their own entries: ``"path, call 2"``, and so on.

    Raises
    ------
    InvalidInput
        If ``within`` or ``share`` is out of range, a target doesn't exist, or a text is padded.
    UnsupportedArchitecture
        If a gate or a norm stands between attention and its projection, or there are unmerged adapters beside that, so
        that a source has no single vector f(x); or if a layer has a hook.
    """
    switched = model.model if isinstance(model, Lens) else model
    if not within > 0 or not 0 < share <= 1:
        raise InvalidInput(
            f"within is {within} and share is {share}; expected a number above 0, and a number from 0 to 1."
        )
    _require_no_padding(inputs)
    chosen = None if targets is None else _positions(targets)
    arguments = dict(inputs) | ({"use_cache": False} if _has_cache(switched) else {})
    short = {name: x[:1] for name, x in arguments.items() if isinstance(x, Tensor)} | {
        name: x for name, x in arguments.items() if not isinstance(x, Tensor)
    }
    paths = {module: path for path, module in switched.named_modules()}
    calls: Counter[str] = Counter()
    counts: dict[str, dict[str, Tensor]] = {}

    def count(call: AttentionCall) -> None:
        path = paths[call.module]
        calls[path] += 1
        name = path if calls[path] == 1 else f"{path}, call {calls[path]}"
        counts[name] = _counted(call, projections[call.module], within, share, chosen)

    compare_with_eager(switched, lambda: switched(**short))
    require_eager_attention(switched, "sources are counted in eager attention")
    with torch.no_grad(), capturing(switched, count), evaluation_mode(switched):
        projections = find_projections(switched, short)
        switched(**arguments)
    return counts


def sources_for_share(amounts: Float[Tensor, "*rows source"], share: float) -> Int[Tensor, "*rows"]:
    """The smallest number of sources with a share of the sum; one where the sum is zero.

    Parameters
    ----------
    amounts
        Non-negative numbers, such as α or α‖f(x)‖.
    share
        From 0 to 1.
    """
    covered = double(amounts.sort(dim=-1, descending=True).values).cumsum(-1)
    enough: Tensor = covered >= share * covered[..., -1:]
    return enough.int().argmax(dim=-1) + 1


def sources_for_vector(
    weights: Float[Tensor, "target source"],
    vectors: Float[Tensor, "source d"],
    ranking: Float[Tensor, "target source"],
    *,
    within: float,
    renormalize: bool = False,
) -> Int[Tensor, " target"]:
    """The number of highest-ranked sources from which on the error against Σ_j α_j f(x_j) stays small enough.

    Parameters
    ----------
    weights
        α of one head.
    vectors
        f(x), or anything with the same inner products.
    ranking
        Numbers by which the sources are ranked, the largest first.
    within
        Largest relative error allowed.
    renormalize
        Whether the kept weights are divided by 1 − (the dropped weight), as `normlens.topk.use` does by default.
    """
    order = ranking.argsort(dim=-1, descending=True)
    kept = weights.gather(-1, order)
    sums = (kept.unsqueeze(-1) * vectors[order]).cumsum(-2)
    full = sums[:, -1:, :].clone()
    if renormalize:
        dropped = kept.flip(-1).cumsum(-1).flip(-1) - kept
        sums /= (1 - dropped).clamp_min(torch.finfo(kept.dtype).eps).unsqueeze(-1)
    gaps = torch.linalg.vector_norm(sums - full, dim=-1)
    far = gaps[:, :-1] > within * torch.linalg.vector_norm(full, dim=-1)
    counts = torch.arange(1, kept.shape[-1], device=far.device)
    # far[:, i]: i + 1 sources are too few; the answer is one more than the last such number.
    return torch.where(far, counts, 0).amax(-1) + 1 if kept.shape[-1] > 1 else torch.ones_like(order[:, 0])


def _counted(
    call: AttentionCall,
    projection: FactoredProjection,
    within: float,
    share: float,
    targets: Int[Tensor, " target"] | None,
) -> dict[str, Int[Tensor, "text head target"]]:
    """All counts of one attention call."""
    weights = call.weights
    assert weights is not None
    if targets is not None:
        if int(targets.max()) >= weights.shape[2]:
            raise InvalidInput(
                f"There is no target {int(targets.max())}; this {type(call.module).__name__} has {weights.shape[2]} targets."
            )
        weights = weights[:, :, targets.to(weights.device)]
    weights = weights.to(projection.factors().dtype)
    norms = weights * projection.log_norms(call.value).exp().unsqueeze(-2)
    counts = {name: weights.new_ones(weights.shape[:3], dtype=torch.long) for name in COUNTS}
    counts["weight share"], counts["norm share"] = sources_for_share(weights, share), sources_for_share(norms, share)
    factors = projection.factors()
    group = weights.shape[1] // call.value.shape[1]
    for text in range(weights.shape[0]):
        for head, factor in enumerate(factors):
            vectors = call.value[text, head // group].to(factor.dtype) @ factor.T
            for name, ranking in (("weight", weights), ("norm", norms)):
                for renormalize in (False, True):
                    counts[name + " renormalized" * renormalize][text, head] = sources_for_vector(
                        weights[text, head], vectors, ranking[text, head], within=within, renormalize=renormalize
                    )
    return counts


def _require_no_padding(inputs: Mapping[str, Tensor]) -> None:
    for name in ("attention_mask", "decoder_attention_mask"):
        mask = inputs.get(name)
        if mask is not None and mask.ndim == 2 and not bool(mask.all()):
            raise InvalidInput(
                f"{name} hides {int((mask == 0).sum())} of {mask.numel()} tokens; padding would be counted among the "
                "targets. Expected texts of one length; pass texts of other lengths one by one."
            )


def _positions(targets: Iterable[int]) -> Int[Tensor, " target"]:
    """Targets as a tensor.

    Raises
    ------
    InvalidInput
        If there are none, or one isn't a non-negative integer.
    """
    positions = list(targets) if isinstance(targets, Iterable) else []
    if not positions or any(isinstance(x, bool) or not hasattr(x, "__index__") or x < 0 for x in positions):
        raise InvalidInput(f"targets are {targets!r}; expected at least one non-negative integer, or None for all.")
    return torch.tensor([operator.index(x) for x in positions])


def _has_cache(model: PreTrainedModel) -> bool:
    return hasattr(model.config, "use_cache")
