"""Translate with children: as they were trained, stitched for a pair that neither saw, or for the parent's own pair."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from normlens.errors import InvalidInput
from normlens.lens import Lens
from normlens.transfer.child_model import groups_of
from normlens.transfer.child_vocabulary import ChildVocabulary, set_parent_languages
from normlens.transfer.delta import Delta, load_child, read_delta
from normlens.transfer.low_rank import folded
from normlens.transfer.parameter_roles import Role, parameter_groups
from normlens.transfer.separate_embeddings import separate_embeddings
from normlens.transfer.token_ids import decoder_inputs
from normlens.transfer.transfer_settings import setting_named
from normlens.translation.translated_text import training_facts
from normlens.translation.translator import Translator

_SOURCE: Role = "source embeddings"
_TARGET: Role = "target embeddings"
_BODY: tuple[Role, ...] = ("cross-attention", "decoder self-attention", "rest of the body")


def child_translator(parent: Lens, delta: str | Path, *, source: str | Path | None = None) -> Translator:
    """A translator of a child, or of two children stitched for a pair that neither was trained on.

    Parameters
    ----------
    parent
        A lens on the parent.
    delta
        Folder of the child.
    source
        Folder of another child of the same parent, with a new source language, whose embeddings of the source take the place
        of this child's. Default: the child's own.

    Returns
    -------
    Translator

    Raises
    ------
    InvalidInput
        If a folder holds no delta, one of another parent, or one without its vocabulary; if the languages don't fit.
    """
    own, model = trained_delta(delta), load_child(parent, delta)
    training = dict(own.training)
    if source is None:
        vocabulary = _vocabulary(parent, own, own)
    else:
        other = trained_delta(source)
        if setting_named(own.setting).side == _SOURCE or setting_named(other.setting).side != _SOURCE:
            raise InvalidInput(
                f"{own.folder} is a child by {own.setting}, and {other.folder} one by {other.setting}; expected a child "
                "with a new target language, or the parent's, and one with a new source language (src, src+xattn, ...)."
            )
        model = with_source_of(folded(model), folded(load_child(parent, source)))
        training["source"] = other.training.get("source")
        vocabulary = _vocabulary(parent, other, own)
    return Translator(model.eval(), vocabulary, training, generation_options(model, vocabulary))


def parent_translator(parent: Lens, delta: str | Path | None = None) -> Translator:
    """A translator for the parent's own pair: of the parent, or of what a child has made of it.

    Parameters
    ----------
    parent
        A lens on the parent.
    delta
        Folder of a child, whose body and cross-attention are used with the parent's embeddings: what it has forgotten.
        Default: the parent itself.
    """
    model = parent.model if delta is None else with_embeddings_of_parent(parent, load_child(parent, delta))
    vocabulary = ChildVocabulary(parent)
    return Translator(model, vocabulary, training_facts(parent.name), generation_options(model, vocabulary))


def with_source_of(model: PreTrainedModel, other: PreTrainedModel) -> PreTrainedModel:
    """A child with the embeddings of the source of another; neither is changed.

    Parameters
    ----------
    model, other
        Children of one parent; the other's source has a table of its own.
    """
    rows = other.get_encoder().get_input_embeddings().num_embeddings
    stitched = separate_embeddings(copy.deepcopy(model), _SOURCE, rows)
    names = groups_of(other).names[_SOURCE]
    tensors, parameters = dict(other.named_parameters()), dict(stitched.named_parameters())
    with torch.no_grad():
        for name in names:
            parameters[name].copy_(tensors[name])
    return stitched.requires_grad_(False).eval()


def with_embeddings_of_parent(parent: Lens, child: PreTrainedModel) -> PreTrainedModel:
    """The parent with a child's cross-attention and body; neither is changed."""
    model = copy.deepcopy(parent.model)
    tensors = dict(folded(child).named_parameters())
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name in parameter_groups(parent).of(_BODY):
            parameters[name].copy_(tensors[name])
    return model.requires_grad_(False).eval()


def generation_options(model: PreTrainedModel, vocabulary: ChildVocabulary) -> Mapping[str, Any]:
    """How a translation begins: as the targets of the training did."""
    (labels,), (empty,) = vocabulary.target_ids(["a"]), vocabulary.target_ids([""])
    start = int(decoder_inputs(model)(torch.tensor([labels]))[0, 0])
    forced = len(empty) > 1 and labels[0] == empty[0] != empty[-1]  # such as the code of the target language
    return {"decoder_start_token_id": start, **({"forced_bos_token_id": labels[0]} if forced else {})}


def _vocabulary(parent: Lens, of_source: Delta, of_target: Delta) -> ChildVocabulary:
    """The vocabulary of a child, or of two."""
    source = of_source.pieces if setting_named(of_source.setting).side == _SOURCE else None
    target = of_target.pieces if setting_named(of_target.setting).side == _TARGET else None
    languages = of_source.training.get("source"), of_target.training.get("target")
    set_parent_languages(parent, None if source else languages[0], None if target else languages[1])
    return ChildVocabulary(parent, source, target)


def trained_delta(folder: str | Path) -> Delta:
    """A delta that :func:`normlens.transfer.train` made.

    Raises
    ------
    InvalidInput
        If it has no vocabulary for its new language.
    """
    delta = read_delta(folder)
    if setting_named(delta.setting).side is not None and delta.pieces is None:
        raise InvalidInput(
            f"{delta.folder} has no vocabulary of its new language. Load its model by load_child, and use your own."
        )
    return delta
