"""ALTI: how much closer a block's output is with a source's contribution than without, rolled out.

Ferrando et al. 2022: with the block's output y_i = Σ_j c_ij + bias_i, where the contributions hold
the residual stream and (post-norm) the LayerNorm, source j contributes max(0, ‖y_i‖₁ − ‖y_i − c_ij‖₁); rows are divided by
their sums, and the layers' maps are multiplied. A row in which no source brings the output closer assigns everything to its
own position.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor

from normlens.analysis.visit import BlockVectors
from normlens.attribution.arrays import Attribution
from normlens.attribution.maps.collect import Collected, last_scope
from normlens.attribution.maps.layer_maps import Maps, laid_out, require_layers
from normlens.attribution.maps.rollout_algebra import rows_to_one, with_own
from normlens.attribution.registry import Method, Request
from normlens.attribution.subject import Subject
from normlens.errors import InvalidInput


def closeness(
    vectors: Float[Tensor, "*rows source d"], output: Float[Tensor, "*rows d"]
) -> Float[Tensor, "*rows source"]:
    """max(0, ‖y‖₁ − ‖y − c_j‖₁) of every source (Ferrando et al. 2022).

    Parameters
    ----------
    vectors
        Contributions c_j.
    output
        What they and the bias add up to, y.
    """
    without = torch.linalg.vector_norm(output.unsqueeze(-2) - vectors, ord=1, dim=-1)
    whole = torch.linalg.vector_norm(output, ord=1, dim=-1)
    closer: Tensor = (whole.unsqueeze(-1) - without).clamp_min(0)
    return closer


def layer_maps(subject: Subject, chunk_size: int) -> list[Maps]:
    """ALTI's map of every layer, per text, rows summing to one; own vectors count as a source in cross-attention.

    Parameters
    ----------
    subject
        The model and the texts.
    chunk_size
        Number of targets whose vectors are in memory at a time.
    """
    collected = Collected(subject)
    subject.visit(last_scope(subject), lambda vectors: add_block(collected, vectors, chunk_size))
    return [normalized(collected.of_text(text)) for text in range(len(subject))]


def add_block(collected: Collected, vectors: BlockVectors, chunk_size: int) -> None:
    """Add a block's closenesses to a collection, ``chunk_size`` targets at a time."""
    collected.measure(vectors, chunk_size, _closenesses)


def _closenesses(rows: Tensor, own: Tensor, output: Tensor, targets: slice) -> tuple[Tensor, Tensor]:
    return closeness(rows, output), closeness(own.unsqueeze(-2), output).squeeze(-1)


def normalized(maps: Maps) -> Maps:
    """Closenesses with every row divided by its sum, the own vector being one of the sources in cross-attention."""
    groups = {name: rows_to_one(x) for name, x in maps.groups.items() if name != "cross"}
    if "cross" not in maps.groups or maps.own is None:
        return replace(maps, groups=groups)
    cross, own = with_own(maps.groups["cross"], maps.own)
    return replace(maps, groups={**groups, "cross": cross}, own=own)


def run(subject: Subject, request: Request) -> list[Attribution]:
    """ALTI of every text; options ``layers`` and ``group``."""
    if subject.is_encoder_decoder and request.options["group"] is None:
        raise InvalidInput(
            f"{type(subject.model).__name__} is an encoder–decoder; alti covers only one of its two texts. Use "
            "method='alti_plus', or choose one side with group='encoder' or group='decoder'."
        )
    return rolled(subject, request)


def rolled(subject: Subject, request: Request) -> list[Attribution]:
    """The layers' maps of every text, laid out as requested."""
    attrs = {"rule": f"L1 distances at scope {last_scope(subject)}"}
    maps = layer_maps(subject, request.chunk_size)
    return [laid_out(subject, k, of_text, request.options, attrs) for k, of_text in enumerate(maps)]


METHOD = Method(
    name="alti",
    meaning="How much closer (L1) a block's output is with a source's contribution than without, multiplied over layers.",
    source="Ferrando et al. 2022 (ALTI)",
    scopes=(),
    targets="none",
    signed=False,
    exact=False,
    run=run,
    options=MappingProxyType({"layers": "model", "group": None}),
    check=lambda request: require_layers(request.options),
)
