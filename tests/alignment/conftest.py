"""Tiny translation models with tokenizers of their own, and commands run inside the test process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import sentencepiece
import torch
from sentences import SOURCES, TARGETS
from transformers import MarianConfig, MarianMTModel, MarianTokenizer
from typer.testing import CliRunner, Result

import normlens
from normlens.alignment import Extractor
from normlens.cli import app


@pytest.fixture(scope="session")
def sentencepiece_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SentencePiece model of the sentences above, and a Marian vocabulary of its pieces."""
    folder = tmp_path_factory.mktemp("pieces")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter((SOURCES + TARGETS) * 3),
        model_prefix=str(folder / "source"),
        vocab_size=75,
        character_coverage=1.0,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    model = folder / "source.model"
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    pieces = [processor.id_to_piece(k) for k in range(processor.get_piece_size())]
    names = ["</s>", "<unk>", *(p for p in pieces if p not in ("</s>", "<unk>", "<s>")), "<pad>"]
    (folder / "vocab.json").write_text(json.dumps({name: k for k, name in enumerate(names)}), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def marian_tokenizer(sentencepiece_folder: Path) -> MarianTokenizer:
    model = str(sentencepiece_folder / "source.model")
    return MarianTokenizer(
        model, model, str(sentencepiece_folder / "vocab.json"), source_lang="de", target_lang="en", model_max_length=60
    )


def _marian(tokenizer: MarianTokenizer, seed: int) -> MarianMTModel:
    last = len(tokenizer.get_vocab()) - 1
    config = MarianConfig(
        vocab_size=last + 1, d_model=16, encoder_layers=2, decoder_layers=3, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, max_position_embeddings=60,
        pad_token_id=last, decoder_start_token_id=last, eos_token_id=0, forced_eos_token_id=0, init_std=0.3,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MarianMTModel(config).eval()


@pytest.fixture(scope="session")
def marian(marian_tokenizer: MarianTokenizer) -> Extractor:
    """A random Marian model, three decoder layers of two heads."""
    return Extractor(normlens.load((_marian(marian_tokenizer, 0), marian_tokenizer)))


@pytest.fixture(scope="session")
def reverse_marian(marian_tokenizer: MarianTokenizer) -> Extractor:
    """Another random one, for the other direction."""
    return Extractor(normlens.load((_marian(marian_tokenizer, 1), marian_tokenizer)))


@pytest.fixture(scope="session")
def marian_folder(marian: Extractor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("marian")
    marian.lens.model.save_pretrained(folder)
    marian.lens.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def reverse_folder(reverse_marian: Extractor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reverse")
    reverse_marian.lens.model.save_pretrained(folder)
    reverse_marian.lens.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def texts(tmp_path: Path) -> tuple[Path, Path]:
    """The sentences in two files."""
    paths = tmp_path / "text.de", tmp_path / "text.en"
    for path, lines in zip(paths, (SOURCES, TARGETS), strict=True):
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return paths


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """Run a command in an empty folder; whatever it raises but an exit is a failure of the test."""
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: object, stdin: str | bytes | None = None) -> Result:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke
