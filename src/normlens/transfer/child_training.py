"""Train a child on a parallel text: a killed run resumes to the same result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from normlens.errors import InvalidInput
from normlens.lens import Lens
from normlens.transfer.child_model import Child, model_hash, start_child
from normlens.transfer.child_vocabulary import ChildVocabulary, set_parent_languages, tokenizer_of
from normlens.transfer.delta import VOCABULARY, Delta, read_delta, save_delta
from normlens.transfer.parameter_roles import Role, parameter_groups
from normlens.transfer.token_ids import decoder_inputs, special_ids
from normlens.transfer.transfer_recipe import TransferRecipe, transfer_recipe
from normlens.transfer.transfer_settings import TransferSetting, setting_named
from normlens.translation.batches import Course, EncodedPairs
from normlens.translation.durations import duration
from normlens.translation.export import hardware
from normlens.translation.preparation import Pair, PreparedText, TrainingText, described, prepare, write_text
from normlens.translation.resuming import (
    own_random_state,
    remove_checkpoints,
    require_packages,
    run_or_resume,
    seconds_left,
)
from normlens.translation.run_folder import RunFolder, keep, writing
from normlens.translation.scoring import held_out_loss
from normlens.translation.trainer import Reporter, Silent, TrainingDirection, device_for_training
from normlens.translation.translated_text import training_facts
from normlens.translation.vocabulary import learn_pieces


def train(
    parent: Lens,
    text: TrainingText,
    folder: str | Path,
    setting: str = "src+xattn",
    *,
    device: str | None = None,
    reporter: Reporter | None = None,
    **recipe: Any,
) -> Delta:
    """Train a child of a translation model on a parallel text, and keep what moved; resume where a killed run stopped.

    With a setting that begins with "src" the text's source is the new language, which gets a vocabulary of its own, and its
    target must be the parent's; with one that begins with "tgt" it is the other way round. With all other settings the
    parent's tokenizer must have both languages.

    Parameters
    ----------
    parent
        A lens on the parent, in single precision; it isn't changed.
    text
        The text, and how it is read.
    folder
        Folder of the child's delta, such as ``folder/de-en``; ``folder/training`` holds everything that resuming needs.
    setting
        A name of :data:`normlens.transfer.SETTINGS`.
    device
        "cpu", "cuda" or "mps". None: a GPU if there is one.
    reporter
        Receives what is trained and what is frozen, the progress, and the estimated time.
    **recipe
        Attributes of :class:`TransferRecipe`; the others are chosen by the amount of text.

    Returns
    -------
    Delta

    Raises
    ------
    InvalidInput
        If the text can't be read or is too small, it is read otherwise than the parent's was, the folder holds another
        training, or a package is missing.
    UnsupportedArchitecture
        If the parent has no cross-attention.
    NormLensError
        If the folder can't be written.
    """
    place, told, chosen = RunFolder(folder), reporter or Silent(), setting_named(setting)
    require_packages()
    parameter_groups(parent)  # refuses what isn't a translation model
    tokenizer_of(parent)
    _require_single_precision(parent)
    _require_same_text(parent, text)
    device = device_for_training(device)
    named = dict(sorted((name, x) for name, x in recipe.items() if x is not None))
    facts = {**text.facts(), "setting": setting, "parent": model_hash(parent.model), "recipe": named}
    place.check(facts)
    finished = place.model(text.source, text.target)
    if not finished.exists():
        with own_random_state(), writing(place.path):
            _train(_Beginning(parent, text, place, chosen, device, told), facts, recipe)
    return read_delta(finished)


@dataclass(frozen=True)
class _Beginning:
    """What is clear before the text is read."""

    parent: Lens
    text: TrainingText
    place: RunFolder
    setting: TransferSetting
    device: str
    told: Reporter


def _train(begun: _Beginning, facts: dict[str, Any], chosen: dict[str, Any]) -> None:
    place, told, text = begun.place, begun.told, begun.text
    told.message("Reading the text")
    prepared = prepare(text)
    recipe = transfer_recipe(len(prepared.training), **chosen)
    place.begin(facts)
    keep(place.state / "recipe.json", asdict(recipe), place.path)
    write_text(prepared, text, place.state / "text")
    told.message(described(asdict(prepared.counts)))
    vocabulary = _vocabulary(begun, prepared, recipe)
    child = start_child(begun.parent, begun.setting.name, vocabulary=vocabulary.rows, seed=recipe.seed)
    told.message(str(child))
    place.require_space(child.model.num_parameters())
    direction = _direction(begun, child, vocabulary, prepared, recipe)
    seconds = seconds_left(child.model, direction, recipe, begun.device)
    told.message(
        f"{direction.name}: {recipe.epochs:g} epochs, {len(direction.course):,} steps on {begun.device}: about "
        f"{duration(seconds)}, measured on a few steps"
    )
    trainer = run_or_resume(recipe, child.model, direction, begun.device, told)
    child.model.cpu().eval()
    training = {
        "source": text.source, "target": text.target, "tokenize": text.tokenize, "lowercase": text.lowercase,
        "setting": begun.setting.name, "recipe": asdict(recipe), "text": asdict(prepared.counts),
        "trained": sum(x.numel() for x in child.model.parameters() if x.requires_grad),
        "parameters": child.model.num_parameters(), "steps": len(direction.course), "hardware": hardware(),
        **{key: max(x.get(key, 0.0) for x in trainer.state.log_history) for key in ("seconds", "cpu_seconds")},
        **({"dev_loss": round(held_out_loss(child.model, direction.held_out), 4)} if len(direction.held_out) else {}),
    }  # fmt: skip
    pieces = place.state / VOCABULARY
    save_delta(child, place.model(text.source, text.target), training, pieces.read_bytes() if pieces.exists() else None)
    remove_checkpoints(direction.folder)


def _vocabulary(begun: _Beginning, prepared: PreparedText, recipe: TransferRecipe) -> ChildVocabulary:
    """The child's vocabulary, whose new language is learned from the text once."""
    pieces = begun.place.state / VOCABULARY
    sides: list[Role] = ["source embeddings", "target embeddings"]
    new = [side == begun.setting.side for side in sides]
    languages = (begun.text.source, begun.text.target)
    set_parent_languages(begun.parent, *(None if own else code for own, code in zip(new, languages, strict=True)))
    if any(new) and not pieces.exists():
        begun.told.message("Learning the vocabulary")
        sentences = [pair[new.index(True)] for pair in prepared.training]
        special = special_ids(begun.parent.model)
        learn_pieces(sentences, pieces, recipe.pieces, fold_case=begun.text.lowercase, special=special)
    return ChildVocabulary(begun.parent, *(pieces if own else None for own in new))


def _direction(
    begun: _Beginning, child: Child, vocabulary: ChildVocabulary, prepared: PreparedText, recipe: TransferRecipe
) -> TrainingDirection:
    text = begun.text
    encoded, held_out = (_encoded(child, vocabulary, pairs) for pairs in (prepared.training, prepared.held_out))
    kept = encoded.within(min(recipe.longest, vocabulary.longest))
    if not kept:
        raise InvalidInput(
            f"Every pair has a side of more than {recipe.longest} pieces; expected sentences. Split the text into "
            "sentences, one per line."
        )
    course = Course(encoded.select(kept), recipe.epochs, recipe.positions, masking=0, plain=1, seed=recipe.seed)
    folder = begun.place.course(text.source, text.target)
    return TrainingDirection(
        f"{text.source}→{text.target}", course, held_out.select(held_out.within(vocabulary.longest)), folder
    )


def _encoded(child: Child, vocabulary: ChildVocabulary, pairs: Sequence[Pair]) -> EncodedPairs:
    source, target = ([pair[side] for pair in pairs] for side in (0, 1))
    return EncodedPairs(
        vocabulary.source_ids(source), vocabulary.target_ids(target), vocabulary.padding, decoder_inputs(child.model)
    )


def _require_single_precision(parent: Lens) -> None:
    if parent.model.dtype != torch.float32:
        raise InvalidInput(
            f"The parameters of {parent.name} are {parent.model.dtype}; expected float32, in which children are trained. "
            'Load it with dtype="float32".'
        )


def _require_same_text(parent: Lens, text: TrainingText) -> None:
    """Refuse a text that is read otherwise than that of a parent which says how its own was read."""
    facts = training_facts(parent.name)
    for name, own in (("tokenize", text.tokenize), ("lowercase", text.lowercase)):
        if name in facts and bool(facts[name]) != own:
            sentences = {"tokenize": "split into words by Moses' rules", "lowercase": "lowercased"}
            raise InvalidInput(
                f"The text of {parent.name} was {'' if facts[name] else 'not '}{sentences[name]}, but this text is read "
                f"{'otherwise' if facts[name] else 'so'}. {'Set' if facts[name] else 'Leave out'} {name}."
            )
