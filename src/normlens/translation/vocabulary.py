"""One vocabulary of sub-words for both languages, by sentencepiece, and the tokenizer of a translation model on it."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import MarianTokenizer

from normlens.errors import InvalidInput, install_command
from normlens.files.atomic import temporary_folder, write_atomically
from normlens.translation.preparation import Pair

END, UNKNOWN, PADDING = 0, 1, 2
"""The first ids of every vocabulary; the unknown piece also replaces masked ones."""

LONGEST_INPUT = 512
"""Pieces that the finished model can read."""

_FEWEST = 30


def learn_pieces(pairs: Sequence[Pair], path: Path, pieces: int, *, fold_case: bool) -> None:
    """Learn a vocabulary and save it as a sentencepiece model.

    Parameters
    ----------
    pairs
        Sentences of both languages.
    path
        The file.
    pieces
        Size of the vocabulary; halved as long as the text doesn't have that many pieces.
    fold_case
        Whether the vocabulary's own normalization folds case, so that the model accepts cased text, too.

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
                sentence_iterator=(sentence for pair in pairs for sentence in pair),
                model_writer=model,
                model_type="bpe",
                vocab_size=size,
                character_coverage=0.9999,
                normalization_rule_name="nmt_nfkc_cf" if fold_case else "nmt_nfkc",
                eos_id=END,
                unk_id=UNKNOWN,
                pad_id=PADDING,
                bos_id=-1,
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
    content = pieces.read_bytes()
    model = _sentencepiece().SentencePieceProcessor(model_proto=content)
    vocabulary = {model.id_to_piece(k): k for k in range(len(model))}
    paths = [folder / name for name in ("source.spm", "target.spm", "vocab.json")]
    for path in paths[:2]:
        path.write_bytes(content)
    paths[2].write_text(json.dumps(vocabulary, ensure_ascii=False, indent=0), encoding="utf-8")
    tokenizer = MarianTokenizer(
        *map(str, paths), source_lang=source, target_lang=target, model_max_length=LONGEST_INPUT
    )
    tokenizer.save_pretrained(folder)


def _sentencepiece() -> Any:
    try:
        import sentencepiece
    except ImportError as error:
        raise InvalidInput(
            "Translation models are trained with sentencepiece, which isn't installed. Run "
            f"`{install_command('translation')}`."
        ) from error
    return sentencepiece
