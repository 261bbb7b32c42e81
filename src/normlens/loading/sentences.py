"""A hundred English sentences bundled with the package, under CC BY-SA 3.0 (see ``NOTICE.md``)."""

from importlib.resources import files

__all__ = ["sentences"]

SENTENCES = files("normlens.loading").joinpath("samples", "sentences.txt")
"""The file, one sentence a line."""


def sentences() -> list[str]:
    """Read the bundled sentences: news and Wikipedia, 8 to 38 words each.

    Returns
    -------
    list of str
        100 sentences of the Universal Dependencies treebank English PUD (CC BY-SA 3.0), always in the same order.

    Examples
    --------
    >>> len(sentences())
    100
    """
    return SENTENCES.read_text(encoding="utf-8").splitlines()
