"""What a user hands in, as tensors with labels: text, pair, ids, chat, image, sound, or what a tokenizer returned."""

from normlens.inputs.treebanks import read_conllu

__all__ = ["read_conllu"]
