"""ALTI+: ALTI for encoder–decoders; each target token divides between the source text and the target prefix.

Ferrando et al. 2022b: in cross-attention the target's own vector, with a share o_i, is one more source beside the encoder's
outputs. The row of a decoder layer is the cross-attention map times the rolled-out encoder, plus o_i times the row of its
self-attention; the decoder's layers are rolled out on top.
"""

from __future__ import annotations

from types import MappingProxyType

from normlens.attribution.arrays import Attribution
from normlens.attribution.maps.layer_maps import require_layers
from normlens.attribution.methods import alti
from normlens.attribution.registry import Method, Request
from normlens.attribution.subject import Subject
from normlens.errors import InvalidInput


def run(subject: Subject, request: Request) -> list[Attribution]:
    """ALTI+ of every text; sources are the source text's tokens, then the decoder's input tokens; option ``layers``."""
    if not subject.is_encoder_decoder:
        raise InvalidInput(
            f"{type(subject.model).__name__} reads one text; alti_plus is for the two texts of an encoder–decoder. "
            "Use method='alti'."
        )
    return alti.rolled(subject, request)


METHOD = Method(
    name="alti_plus",
    meaning="ALTI for encoder–decoders: what each target token takes from the source text and from the target prefix.",
    source="Ferrando et al. 2022b (ALTI+)",
    scopes=(),
    targets="none",
    signed=False,
    exact=False,
    run=run,
    options=MappingProxyType({"layers": "model", "group": None}),
    check=lambda request: require_layers(request.options),
)
