"""One vocabulary of sub-words for both languages, by sentencepiece, and the tokenizer of a translation model on it."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import MarianTokenizer

from normlens.errors import InvalidInput, install_command
from normlens.files.atomic import temporary_folder, write_atomically

END, UNKNOWN, PADDING = 0, 1, 2
"""The first ids of every vocabulary; the unknown piece also replaces masked ones."""

LONGEST_INPUT = 512
"""Pieces that the finished model can read."""

_FEWEST = 30


@dataclass(frozen=True)
class SpecialIds:
    """Ids of the pieces that aren't text.

    Attributes
    ----------
    end, unknown, padding
        End of a sentence, unknown piece, padding.
    begin
        A first piece that a model forces; None for a vocabulary without one.
    """

    end: int = END
    unknown: int = UNKNOWN
    padding: int = PADDING
    begin: int | None = None


def learn_pieces(
    sentences: Sequence[str], path: Path, pieces: int, *, fold_case: bool, special: SpecialIds = SpecialIds()
) -> None:
    """Learn a vocabulary and save it as a sentencepiece model.

    Parameters
    ----------
    sentences
        Of every language that the vocabulary is for.
    path
        The file.
    pieces
        Size of the vocabulary; halved as long as the text doesn't have that many pieces.
    fold_case
        Whether the vocabulary's own normalization folds case, so that the model accepts cased text, too.
    special
        Ids of the special pieces.

    Raises
    ------
    InvalidInput
        If sentencepiece isn't installed, or the text is too small for any vocabulary.
    """
    trainer = _sentencepiece().SentencePieceTrainer
    model, failure = io.BytesIO(), ""
    for size in (pieces // 2**k for k in range(12)):
        if size < _FEWEST:
            break
        try:
            trainer.train(
                sentence_iterator=iter(sentences),
                model_writer=model,
                model_type="bpe",
                vocab_size=size,
                character_coverage=0.9999,
                normalization_rule_name="nmt_nfkc_cf" if fold_case else "nmt_nfkc",
                eos_id=special.end,
                unk_id=special.unknown,
                pad_id=special.padding,
                bos_id=-1 if special.begin is None else special.begin,
                num_threads=1,
                minloglevel=2,
            )
        except RuntimeError as error:
            failure = str(error)
            continue
        write_atomically(path, model.getvalue())
        return
    raise InvalidInput(
        f"No vocabulary of {pieces} pieces or fewer can be learned from this text: {failure}. Pass more text."
    )


def tokenizer_for(pieces: Path, folder: Path, source: str, target: str) -> MarianTokenizer:
    """Load the tokenizer of one direction from its folder, which is made first if it isn't there.

    Parameters
    ----------
    pieces
        The sentencepiece model.
    folder
        Folder of the tokenizer's files.
    source, target
        Languages.
    """
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with temporary_folder(folder.parent) as unfinished:
            _make_tokenizer(pieces, unfinished, source, target)
            unfinished.rename(folder)
    tokenizer: MarianTokenizer = MarianTokenizer.from_pretrained(folder)
    return tokenizer


def _make_tokenizer(pieces: Path, folder: Path, source: str, target: str) -> None:
    content, model = pieces.read_bytes(), sentence_pieces(pieces)
    vocabulary = {model.id_to_piece(k): k for k in range(len(model))}
    paths = [folder / name for name in ("source.spm", "target.spm", "vocab.json")]
    for path in paths[:2]:
        path.write_bytes(content)
    paths[2].write_text(json.dumps(vocabulary, ensure_ascii=False, indent=0), encoding="utf-8")
    tokenizer = MarianTokenizer(
        *map(str, paths), source_lang=source, target_lang=target, model_max_length=LONGEST_INPUT
    )
    tokenizer.save_pretrained(folder)


def sentence_pieces(path: Path) -> Any:
    """Read a vocabulary that :func:`learn_pieces` saved.

    Returns
    -------
    sentencepiece.SentencePieceProcessor

    Raises
    ------
    InvalidInput
        If it can't be read, or sentencepiece isn't installed.
    """
    try:
        return _sentencepiece().SentencePieceProcessor(model_proto=path.read_bytes())
    except (OSError, RuntimeError) as error:
        raise InvalidInput(f"The vocabulary {path} can't be read: {error}.") from error


def _sentencepiece() -> Any:
    try:
        import sentencepiece
    except ImportError as error:
        raise InvalidInput(
            "Translation models are trained with sentencepiece, which isn't installed. Run "
            f"`{install_command('translation')}`."
        ) from error
    return sentencepiece
