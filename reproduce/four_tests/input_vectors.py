"""Word vectors from a Transformer: the mean of the input embeddings of a word's pieces."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

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
    loaded = load_model(model)
    assert loaded.tokenizer is not None
    embeddings = loaded.model.get_input_embeddings().weight.detach()
    lines = []
    for word in Vocabulary(texts).words[END + 1 :]:
        ids = loaded.tokenizer(word, add_special_tokens=False)["input_ids"]
        ids = [number for number in ids if number != loaded.tokenizer.unk_token_id]
        if ids:
            lines.append(" ".join([word, *(f"{x:.5f}" for x in embeddings[ids].mean(0).tolist())]))
    write_atomically(path, "\n".join(lines) + "\n")
