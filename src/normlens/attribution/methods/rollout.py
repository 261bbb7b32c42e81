"""Attention rollout: the layers' attention weights, averaged over heads, with the residual stream, multiplied.

Abnar & Zuidema 2020: A_l = ½ W̄_l + ½ I, and the map of the whole model is A_L … A_1.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import xarray as xr

from normlens.attribution.arrays import Attribution
from normlens.attribution.maps.layer_maps import Maps, laid_out, require_layers
from normlens.attribution.maps.rollout_algebra import with_own, with_residual
from normlens.attribution.registry import Method, Request
from normlens.attribution.subject import Subject
from normlens.errors import InvalidInput, UnsupportedArchitecture


def run(subject: Subject, request: Request) -> list[Attribution]:
    """Attention rollout of every text; options ``residual``, ``layers`` and ``group``."""
    residual = residual_share(request.options)
    rule = f"{1 - residual:g} W + {residual:g} I, mean over heads"
    return [
        laid_out(subject, k, weight_maps(tree, residual, request.options["group"]), request.options, {"rule": rule})
        for k, tree in enumerate(subject.trees)
    ]


def weight_maps(tree: Mapping[str, xr.Dataset], residual: float, group: str | None) -> Maps:
    """(1 − r) W̄ + r I of every layer of one text; in cross-attention r goes to the target's own vector.

    Raises
    ------
    UnsupportedArchitecture
        If targets and sources are different positions in the requested group (None: any).
    """
    groups, own = {}, None
    for name, data in tree.items():
        mean = np.nanmean(data["weight"].values.astype(np.float64), axis=1)  # layers may have fewer heads
        if name == "cross":
            groups[name], own = with_own((1 - residual) * mean, np.full(mean.shape[:2], residual))
        elif mean.shape[1] != mean.shape[2]:
            if group in (None, name):
                raise UnsupportedArchitecture(
                    f"{data['layer_path'].values[0]} has {mean.shape[1]} targets and {mean.shape[2]} sources: no source "
                    "is the target itself, so its map has no place for the residual stream. Use method='decompx'."
                )
        else:
            groups[name] = with_residual(mean, residual)
    return Maps(groups, {name: list(data["layer_path"].values) for name, data in tree.items()}, own)


def residual_share(options: Mapping[str, Any]) -> float:
    """The requested share of the residual stream.

    Raises
    ------
    InvalidInput
        If it isn't a number from 0 to 1.
    """
    share = options["residual"]
    if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share <= 1:
        raise InvalidInput(f"residual is {share!r}; expected the residual stream's share, a number from 0 to 1.")
    return float(share)


def check(request: Request) -> None:
    """Refuse invalid options."""
    residual_share(request.options)
    require_layers(request.options)


METHOD = Method(
    name="rollout",
    meaning="Attention weights, averaged over heads, half of them replaced by the residual stream, multiplied over layers.",
    source="Abnar & Zuidema 2020",
    scopes=(),
    targets="none",
    signed=False,
    exact=False,
    run=run,
    options=MappingProxyType({"residual": 0.5, "layers": "model", "group": None}),
    check=check,
)
