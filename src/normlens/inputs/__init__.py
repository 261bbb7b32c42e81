"""What a user hands in, as tensors with labels: text, pair, ids, chat, image, sound, or what a tokenizer returned."""

from normlens.inputs.treebanks import SUFFIX, numbered_sentences, read_conllu

__all__ = ["SUFFIX", "numbered_sentences", "read_conllu"]
