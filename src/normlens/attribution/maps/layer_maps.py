"""The maps of a model's layers for one text, returned layer by layer or rolled out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float

from normlens.attribution.arrays import Attribution, flow_map
from normlens.attribution.maps.layer_paths import without_attention
from normlens.attribution.maps.rollout_algebra import Array, joint_maps, rolled_out, rolled_out_pair
from normlens.attribution.subject import Subject
from normlens.errors import InvalidInput, UnsupportedArchitecture
from normlens.inputs.tokens import Tokens

LAYERS = ("model", "each", "rolled")
"""The whole model's map; each layer's own map; the maps rolled out up to each layer."""

PAIR = {"encoder", "decoder", "cross"}


@dataclass(frozen=True)
class Maps:
    """The maps of one text, rows summing to one.

    Attributes
    ----------
    groups
        ``(layer, target, source)`` per group of attention blocks.
    paths
        Module paths of the layers' attention, per group.
    own
        What the targets of cross-attention keep of their own vector, ``(layer, target)``; None without cross-attention.
    conservation_error
        The largest of the contributions that the maps were computed from; NaN if there were none.
    """

    groups: Mapping[str, Float[Array, "layer target source"]]
    paths: Mapping[str, list[str]]
    own: Float[Array, "layer target"] | None = None
    conservation_error: float = math.nan


def laid_out(
    subject: Subject, text: int, maps: Maps, options: Mapping[str, Any], attrs: Mapping[str, Any]
) -> Attribution:
    """The requested map of a text, labeled.

    Parameters
    ----------
    subject, text
        The text and its batch.
    maps
        The maps of its layers.
    options
        ``layers``, one of :data:`LAYERS`, and ``group``: one group of attention blocks by itself, or None for all.
    attrs
        Attributes that the method sets.

    Raises
    ------
    InvalidInput
        If there is no such group.
    UnsupportedArchitecture
        If the model's layers don't follow one another over the same positions.
    """
    group = chain(subject, maps, options)
    if group is not None:
        each = maps.groups[group]
        values = each if options["layers"] == "each" else rolled_out(each)
        return labeled(subject, text, values, group, maps, attrs, options)
    assert maps.own is not None
    each = joint_maps(maps.groups["decoder"], maps.groups["cross"], maps.own)
    values = each if options["layers"] == "each" else rolled_out_pair(maps.groups["encoder"], each)
    return labeled(subject, text, values, None, maps, attrs, options)


def labeled(
    subject: Subject,
    text: int,
    values: Float[Array, "layer target source"],
    group: str | None,
    maps: Maps,
    attrs: Mapping[str, Any],
    options: Mapping[str, Any],
) -> Attribution:
    """Layers' maps with their coordinates; only the last one if the whole model's map is requested.

    Parameters
    ----------
    subject, text, maps, attrs, options
        As for :func:`laid_out`.
    values
        Maps of the layers of a group, or of an encoder–decoder's decoder.
    group
        The group; None for a decoder's maps with sources on both sides.
    """
    undefined = {"value": math.nan, "bias_share": math.nan}
    not_measured = ", ".join(subject.inspector.inspection(subject.examples[text]).not_measured)
    attrs = {**undefined, "conservation_error": maps.conservation_error, "not_measured": not_measured, **attrs}
    targets, sources = values.shape[1:]
    if group is None:
        sides = [("source", sources - targets), ("target", targets)]
    else:
        sides = [("target" if group == "decoder" and subject.is_encoder_decoder else "source", sources)]
    named = [(side, side_tokens(subject, text, side, length)) for side, length in sides]
    if options["layers"] == "model":
        return flow_map(values[-1], named[-1][1], named, attrs)
    group = group or "decoder"
    coordinates = {"layer": subject.layer_numbers(group), "layer_path": maps.paths[group]}
    return flow_map(values, named[-1][1], named, attrs, coordinates)


def chain(subject: Subject, maps: Maps, options: Mapping[str, Any]) -> str | None:
    """The requested group of attention blocks; None for the three groups of an encoder–decoder together.

    Raises
    ------
    InvalidInput
        If there is no such group.
    UnsupportedArchitecture
        If the layers don't form one chain, or layers that weren't measured lie between them.
    """
    names = list(maps.groups)
    group: str | None = options["group"]
    if group is not None and (group not in names or group == "cross"):
        fit = [name for name in names if name != "cross"]
        raise InvalidInput(f"group is {group!r}; expected one of {', '.join(map(repr, fit))}, or None for the whole.")
    if options["layers"] != "each":
        _require_unbroken(subject, maps)
    square = {name for name, x in maps.groups.items() if x.shape[1] == x.shape[2]}
    if group in square or (group is not None and options["layers"] == "each"):
        return group
    if len(names) == 1 and square:
        return names[0]
    if set(names) == PAIR and PAIR - {"cross"} <= square:
        return None
    if group is not None or len(names) == 1:
        targets, sources = maps.groups[group or names[0]].shape[1:]
        raise UnsupportedArchitecture(
            f"The layers of {group or names[0]!r} have {targets} targets and {sources} sources, so their maps can't be "
            "multiplied. Use layers='each' with group=, or method='decompx'."
        )
    raise UnsupportedArchitecture(
        f"The attention blocks of {type(subject.model).__name__} are several groups over different positions "
        f"({', '.join(names)}), which can't be rolled out together. Name one with group=."
    )


def _require_unbroken(subject: Subject, maps: Maps) -> None:
    """Refuse a rollout across layers that may mix positions but weren't measured."""
    paths = [path for group in maps.paths.values() for path in group]
    unseen = [*subject.inspector.inspection(subject.examples[0]).not_measured, *without_attention(subject.model, paths)]
    if unseen:
        raise UnsupportedArchitecture(
            f"{', '.join(unseen[:4])}{', …' if unseen[4:] else ''}: these layers can't be measured, so the maps around "
            "them can't be rolled out. Use layers='each', or method='decompx', 'logit' or 'gradient_input'."
        )


def require_layers(options: Mapping[str, Any]) -> None:
    """Refuse an unknown ``layers``."""
    if options["layers"] not in LAYERS:
        raise InvalidInput(
            f"layers is {options['layers']!r}; expected 'model' (the whole model's map), 'each' (each layer's own map) or "
            "'rolled' (the maps rolled out up to each layer)."
        )


def side_tokens(subject: Subject, text: int, side: str, length: int) -> Tokens:
    """The tokens of a text's side, or plain position labels if their number differs from the sequence's."""
    example = subject.examples[text]
    tokens = example.target if side == "target" else example.source
    return tokens if tokens is not None and len(tokens) == length else example.label(length)
