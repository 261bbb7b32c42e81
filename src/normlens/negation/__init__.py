"""Negation: a word's domain, value and function, of which negation keeps the first, and turns and weakens the second.

`Meaning`, `apply`, `negate` and `compose` are the algebra of Hermann, Grefenstette & Blunsom 2013.
"""

from normlens.negation.meaning import Meaning, Negation, Tree, apply, block_function, compose, negate

__all__ = ["Meaning", "Negation", "Tree", "apply", "block_function", "compose", "negate"]
