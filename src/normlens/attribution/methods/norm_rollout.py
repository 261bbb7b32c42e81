"""Rollout of vector norms, at any scope: N, N-Res, N-ResLN, N-Enc (GlobEnc), and those after the feed-forward.

Modarressi et al. 2022: instead of attention weights, the norms of the vectors that attention moves, each row divided by
its sum, are multiplied over layers. At scope ``encoder`` (N-Enc) the contributions after the first LayerNorm skip the
feed-forward and pass, as the second residual does, through the second LayerNorm: ‖g_i(c_ij)‖ with
g_i(c) = (c − mean c) ⊙ γ / σ(z_i), where z_i is the input of the second LayerNorm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import xarray as xr

from normlens.analysis.measurement import Measurement
from normlens.attribution.arrays import Attribution
from normlens.attribution.maps.layer_maps import Maps, laid_out, require_layers
from normlens.attribution.maps.rollout_algebra import rows_to_one, with_own, with_residual
from normlens.attribution.methods.encoder_norms import encoder_norms
from normlens.attribution.methods.rollout import residual_share
from normlens.attribution.registry import Method, Request
from normlens.attribution.subject import Subject
from normlens.engine.tracing.scopes import BLOCK_SCOPES, SCOPES, norm_variable, own_variable
from normlens.errors import InvalidInput, UnsupportedArchitecture

NAMES = {"encoder": "N-Enc", "attention": "N", "residual": "N-Res", "layernorm": "N-ResLN"} | {
    scope: f"norms at scope {scope}" for scope in BLOCK_SCOPES
}
"""The papers' names of the norms at each scope; those after the feed-forward have none."""


def run(subject: Subject, request: Request) -> list[Attribution]:
    """Norm rollout of every text at the requested scope; options ``residual``, ``normalized``, ``layers``, ``group``."""
    assert request.scope is not None
    residual, normalized = residual_share(request.options), request.options["normalized"]
    name = NAMES[request.scope]
    rule = (
        f"{1 - residual:g} N + {residual:g} I" if residual else name if normalized else f"{name}, rows not normalized"
    )
    rollable = (norm_maps(norms, residual, normalized) for norms in _norms(subject, request))
    return [laid_out(subject, k, maps, request.options, {"rule": rule}) for k, maps in enumerate(rollable)]


def check(request: Request) -> None:
    """Refuse invalid options, and a fixed share of the residual stream if the rows include the stream itself."""
    require_layers(request.options)
    residual, normalized = residual_share(request.options), request.options["normalized"]
    if not isinstance(normalized, bool):
        raise InvalidInput(f"normalized is {normalized!r}; expected True or False.")
    if residual and (request.scope != "attention" or not normalized):
        raise InvalidInput(
            f"residual is {residual:g} at scope {request.scope!r}, normalized={normalized}; expected a fixed share of the "
            "residual stream only with normalized rows at scope 'attention', since other scopes include the stream itself. "
            "Omit residual=."
        )


def norm_maps(norms: Maps, residual: float = 0.0, normalized: bool = True) -> Maps:
    """Layers' norms as maps that can be rolled out.

    Parameters
    ----------
    norms
        Norms of the contributions.
    residual
        A fixed share of the residual stream, for norms without it (Modarressi et al.: N has none, N-FixedRes a half).
    normalized
        Whether rows are divided by their sums, as in the paper; the published code multiplies the norms as they are.
    """
    if not normalized:
        return norms
    groups = {name: rows_to_one(x) for name, x in norms.groups.items() if name != "cross"}
    if residual:
        groups = {name: with_residual(x, residual) for name, x in groups.items()}
    if "cross" not in norms.groups or norms.own is None:
        return replace(norms, groups=groups)
    cross, own = with_own(norms.groups["cross"], norms.own)
    return replace(norms, groups={**groups, "cross": (1 - residual) * cross}, own=residual + (1 - residual) * own)


def _norms(subject: Subject, request: Request) -> list[Maps]:
    scope = str(request.scope)
    if scope == "encoder":
        return encoder_norms(subject, request.chunk_size)
    beyond = scope in BLOCK_SCOPES
    trees = subject.runner.run(subject.examples, Measurement(product=request.product)) if beyond else subject.trees
    return [_of_tree(tree, scope) for tree in trees]


def _of_tree(tree: Mapping[str, xr.Dataset], scope: str) -> Maps:
    """The norms of one text at a scope; those of a decoder's self-attention end where its cross-attention begins."""
    groups, own, errors = {}, None, []
    for name, data in tree.items():
        at = scope
        if name == "decoder" and "cross" in tree and not _has(data, scope):
            at = next((s for s in ("layernorm", "residual") if _has(data, s)), scope)
        if not _has(data, at):
            raise UnsupportedArchitecture(_refusal(tree, name, scope))
        groups[name] = data[norm_variable(at)].values.astype(np.float64)
        errors.append(float(data["conservation_error"].sel(scope=at).max()))
        if name == "cross":
            kept = own_variable(scope)
            own = data[kept].values.astype(np.float64) if kept in data else np.zeros(groups[name].shape[:2])
    return Maps(groups, {name: list(data["layer_path"].values) for name, data in tree.items()}, own, max(errors))


def _has(data: xr.Dataset, scope: str) -> bool:
    return norm_variable(scope) in data and not bool(data[norm_variable(scope)].isnull().any())


def _refusal(tree: Mapping[str, xr.Dataset], name: str, scope: str) -> str:
    there = [s for s in METHOD.scopes if s != "encoder" and all(_has(data, s) for data in tree.values())]
    return (
        f"Not all {name} layers have norms at scope {scope!r} (family: {tree[name].attrs.get('family', '?')}); expected a "
        f"scope that they have: {', '.join(map(repr, [*there, 'encoder']))}."
    )


METHOD = Method(
    name="norm_rollout",
    meaning="Norms of the vectors that attention moves, rows divided by their sums, multiplied over layers.",
    source="Kobayashi et al. 2020, 2021; Modarressi et al. 2022 (GlobEnc: scope encoder)",
    scopes=("encoder", *SCOPES),
    targets="none",
    signed=False,
    exact=False,
    run=run,
    options=MappingProxyType({"residual": 0.0, "normalized": True, "layers": "model", "group": None}),
    check=check,
)
