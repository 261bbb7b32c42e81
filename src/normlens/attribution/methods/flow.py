"""Attention flow: the maximum flow from a target to each input token, with attention weights as capacities.

Abnar & Zuidema 2020: a graph with one node per token and layer, edges of capacity ½ W̄ + ½ I from every node
to the layer below; the flow of target i to source j is the maximum flow between their nodes.
"""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
from jaxtyping import Float
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import maximum_flow

from normlens.attribution.arrays import Attribution
from normlens.attribution.maps.layer_maps import Maps, chain, labeled, require_layers
from normlens.attribution.maps.rollout_algebra import Array, rows_to_one
from normlens.attribution.methods.rollout import residual_share, weight_maps
from normlens.attribution.registry import Method, Request
from normlens.attribution.subject import Subject
from normlens.errors import InvalidInput, UnsupportedArchitecture

UNITS = 2**30
"""Units per capacity of one: scipy's maximum flow takes integers below 2**31."""


def maximum_flows(maps: Float[Array, "layer token token"], depth: int | None = None) -> Float[Array, "target source"]:
    """Maximum flow from every token after a layer to every input token.

    Parameters
    ----------
    maps
        Capacities between neighboring layers, with rows that sum to at most one; they are rounded down to whole
        :data:`UNITS`.
    depth
        Number of layers between them; None for all.

    Returns
    -------
    Array
        In the unit of the capacities. By the max-flow min-cut theorem, a value is too small by less than one unit per edge
        of a cut: see :func:`scaling_error`.
    """
    maps = np.asarray(maps, dtype=np.float64)[:depth]
    tokens = maps.shape[-1]
    graph, last = _graph(maps), len(maps) * tokens
    flows = [[maximum_flow(graph, last + i, j).flow_value for j in range(tokens)] for i in range(tokens)]
    return np.asarray(flows, dtype=np.float64) / UNITS


def scaling_error(maps: Float[Array, "layer token token"]) -> float:
    """The most by which rounding capacities to whole units can change a flow: one unit per edge of the graph."""
    return np.count_nonzero(maps) / UNITS


def _graph(maps: Float[Array, "layer token token"]) -> csr_array:
    """Nodes are numbered layer by layer from the input up; edges lead down."""
    layer, target, source = np.nonzero(maps)
    tokens = maps.shape[-1]
    capacity = np.floor(maps[layer, target, source] * UNITS).astype(np.int32)
    ends = (layer + 1) * tokens + target, layer * tokens + source
    size = (len(maps) + 1) * tokens
    return csr_array(coo_array((capacity, ends), shape=(size, size)))


def run(subject: Subject, request: Request) -> list[Attribution]:
    """Attention flow of every text; options ``residual``, ``normalized``, ``layers`` and ``group``."""
    residual = residual_share(request.options)
    return [
        _of_text(subject, k, weight_maps(tree, residual, request.options["group"]), request)
        for k, tree in enumerate(subject.trees)
    ]


def check(request: Request) -> None:
    """Refuse invalid options."""
    residual_share(request.options)
    require_layers(request.options)
    if not isinstance(request.options["normalized"], bool):
        raise InvalidInput(f"normalized is {request.options['normalized']!r}; expected True or False.")


def _of_text(subject: Subject, text: int, maps: Maps, request: Request) -> Attribution:
    group = chain(subject, maps, request.options)
    if group is None:
        raise UnsupportedArchitecture(
            "Attention flow is defined for layers over one text, not for an encoder–decoder. Name one side with "
            "group='encoder' or group='decoder', or use method='rollout' or 'alti_plus'."
        )
    capacities = maps.groups[group]
    flows = capacities
    if request.options["layers"] != "each":
        depths = [len(capacities)] if request.options["layers"] == "model" else range(1, len(capacities) + 1)
        flows = np.stack([maximum_flows(capacities, depth) for depth in depths])
    attrs = {"rule": "capacities in whole units of 2^-30, rounded down", "scaling_error": scaling_error(capacities)}
    values = rows_to_one(flows) if request.options["normalized"] else flows
    return labeled(subject, text, values, group, maps, attrs, request.options)


METHOD = Method(
    name="flow",
    meaning="Maximum flow from a target to each input token, with attention weights as capacities.",
    source="Abnar & Zuidema 2020",
    scopes=(),
    targets="none",
    signed=False,
    exact=False,
    run=run,
    options=MappingProxyType({"residual": 0.5, "normalized": True, "layers": "model", "group": None}),
    check=check,
)
