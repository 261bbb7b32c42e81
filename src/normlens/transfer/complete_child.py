"""A child and its parent as one model: a folder that transformers, and every command, loads."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from transformers import MarianTokenizer, PreTrainedTokenizerBase

from normlens.errors import InvalidInput, NormLensError
from normlens.files.atomic import reason, temporary_folder
from normlens.lens import Lens
from normlens.transfer.child_vocabulary import tokenizer_of
from normlens.transfer.delta import TRAINING, Delta
from normlens.transfer.low_rank import folded
from normlens.transfer.parameter_roles import Role
from normlens.transfer.token_ids import special_ids
from normlens.transfer.transfer_settings import setting_named
from normlens.transfer.translators import child_translator, trained_delta
from normlens.translation.vocabulary import sentence_pieces

_PARTS = "parts"
_SIDES: tuple[Role, Role] = ("source embeddings", "target embeddings")
_INSTEAD = "Translate with parent and delta instead: normlens transfer translate, or child_translator."


def merge(parent: Lens, delta: str | Path, folder: str | Path) -> Path:
    """Write a child as a complete model with its tokenizer.

    Parameters
    ----------
    parent
        A lens on the parent.
    delta
        Folder of the child.
    folder
        The new folder. It appears when it is complete.

    Returns
    -------
    pathlib.Path
        The folder.

    Raises
    ------
    InvalidInput
        If the folder exists; if the delta can't be read or belongs to another parent; if transformers has no models of the
        parent's class with a vocabulary for each side.
    NormLensError
        If the folder can't be written.
    """
    folder, own, tokenizer_of_parent = Path(folder), trained_delta(delta), tokenizer_of(parent)
    if folder.exists():
        raise InvalidInput(f"{folder} exists already. Choose another name.")
    _require_own_class(parent, own)
    translator = child_translator(parent, delta)
    model = folded(translator.model)
    if model.generation_config is not None:
        model.generation_config.update(**translator.generation)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with temporary_folder(folder.parent) as unfinished:
            tokenizer = _tokenizer(parent, own, unfinished)
            if model.generation_config is not None and tokenizer.pad_token_id != tokenizer_of_parent.pad_token_id:
                model.generation_config.pad_token_id = tokenizer.pad_token_id
            model.save_pretrained(unfinished)
            tokenizer.save_pretrained(unfinished)
            facts = {**own.training, "parent": parent.name, "parent_sha256": own.parent}
            (unfinished / TRAINING).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
            shutil.rmtree(unfinished / _PARTS, ignore_errors=True)
            unfinished.rename(folder)
    except OSError as error:
        raise NormLensError(
            f"{folder} can't be written: {reason(error)}. Nothing was left behind; make space."
        ) from error
    return folder


def _require_own_class(parent: Lens, delta: Delta) -> None:
    """Refuse a child whose class has no models with two vocabularies, or no tokenizer that could hold both."""
    side = setting_named(delta.setting).side
    if side is None:
        return
    name = type(parent.model).__name__
    if not (hasattr(parent.model.config, "decoder_vocab_size") and isinstance(parent.tokenizer, MarianTokenizer)):
        raise InvalidInput(
            f"transformers has no {name} with a vocabulary for each side, so this child can't be a model of its own. "
            f"{_INSTEAD}"
        )
    special, tokenizer = special_ids(parent.model), parent.tokenizer
    if (special.end, special.unknown) != (tokenizer.eos_token_id, tokenizer.unk_token_id):
        raise InvalidInput(
            f"The end of a sentence and an unknown piece are {tokenizer.eos_token_id} and {tokenizer.unk_token_id} for the "
            f"tokenizer of {parent.name}, {special.end} and {special.unknown} in the new vocabulary; one tokenizer can't "
            f"hold both. {_INSTEAD}"
        )


def _tokenizer(parent: Lens, delta: Delta, folder: Path) -> PreTrainedTokenizerBase:
    """The child's tokenizer: for a new language one with two vocabularies, whose files are made in the folder."""
    side, own = setting_named(delta.setting).side, tokenizer_of(parent)
    if side is None or delta.pieces is None:
        return own
    parts = folder / _PARTS
    parts.mkdir()
    own.save_pretrained(parts / "parent")
    new = sentence_pieces(delta.pieces)
    (parts / "new.json").write_text(
        json.dumps({new.id_to_piece(k): k for k in range(len(new))}, ensure_ascii=False), encoding="utf-8"
    )
    of_parent = [parts / "parent" / name for name in ("source.spm", "target.spm", "vocab.json")]
    source: list[Any] = [of_parent[0], of_parent[2]]
    target: list[Any] = [of_parent[1], of_parent[2]]
    for files, new_side in ((source, _SIDES[0]), (target, _SIDES[1])):
        if side == new_side:
            files[:] = delta.pieces, parts / "new.json"
    same_padding = special_ids(parent.model).padding == own.pad_token_id
    return MarianTokenizer(
        str(source[0]),
        str(target[0]),
        str(source[1]),
        target_vocab_file=str(target[1]),
        separate_vocabs=True,
        source_lang=delta.training.get("source"),
        target_lang=delta.training.get("target"),
        model_max_length=own.model_max_length,
        # transformers takes special ids of the source for those of the target: padding must be the same in both
        **({} if same_padding else {"pad_token": own.eos_token}),
    )
