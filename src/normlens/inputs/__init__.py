"""User input as tensors with labels: text, pair, ids, chat, image, sound, or the output of a tokenizer or processor."""

from normlens.inputs.treebanks import SUFFIX, numbered_sentences, read_conllu

__all__ = ["SUFFIX", "numbered_sentences", "read_conllu"]
