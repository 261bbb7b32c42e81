"""Word vectors from a Transformer: the mean of the input embeddings of a word's pieces."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from normlens.faithfulness.four_tests.encoded_texts import END, Vocabulary
from normlens.files.atomic import write_atomically
from normlens.loading.load import load_model


def write_input_vectors(path: Path, texts: Sequence[str], model: str = "minilm-l6") -> None:
    """Write the vectors of all words of the texts, as word2vec writes them.

    Parameters
    ----------
    path
        Where they go; a file that is there stays.
    texts
        The training texts.
    model
        Whose input embeddings are taken.
    """
    if path.exists():
        return
    vectors = input_vectors(Vocabulary(texts).words[END + 1 :], model)
    lines = [" ".join([word, *(f"{x:.5f}" for x in vector.tolist())]) for word, vector in vectors.items()]
    write_atomically(path, "\n".join(lines) + "\n")


def input_vectors(words: Iterable[str], model: str = "minilm-l6") -> dict[str, Float[Tensor, " dimension"]]:
    """The vectors of words: the mean of the input embeddings of their pieces; a word without a piece is left out.

    Parameters
    ----------
    words
        The words.
    model
        Whose input embeddings are taken.
    """
    loaded = load_model(model)
    assert loaded.tokenizer is not None
    embeddings = loaded.model.get_input_embeddings().weight.detach()
    vectors = {}
    for word in words:
        ids = loaded.tokenizer(word, add_special_tokens=False)["input_ids"]
        ids = [number for number in ids if number != loaded.tokenizer.unk_token_id]
        if ids:
            vectors[word] = embeddings[ids].mean(0)
    return vectors
