"""One text on trial: which variants of it are read, and what their probabilities say about an order of its units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from normlens.faithfulness.erasure.design import Design
from normlens.faithfulness.erasure.erasing import counts_of_shares, erase
from normlens.faithfulness.erasure.units import Units

Ids = Int[np.ndarray, " token"]


@dataclass(frozen=True)
class Trial:
    """A text, its units, and how the model reads all of it.

    Attributes
    ----------
    ids
        Token ids of the whole text.
    units
        What is erased at once.
    replacement
        Id that stands for an erased token.
    """

    ids: Ids
    units: Units
    replacement: int

    def without(self, chosen: Int[np.ndarray, " chosen"], how: str) -> Ids:
        """The text with some units erased."""
        return self._erased(np.isin(np.arange(len(self.units)), chosen), how)

    def only(self, chosen: Int[np.ndarray, " chosen"], how: str) -> Ids:
        """The text with all other units erased; special tokens stay."""
        return self._erased(~np.isin(np.arange(len(self.units)), chosen), how)

    def singles(self, how: str) -> list[Ids]:
        """The text without each of its units in turn."""
        return [self.without(np.array([unit]), how) for unit in range(len(self.units))]

    def variants(self, order: Int[np.ndarray, " unit"], how: str, design: Design) -> list[Ids]:
        """Everything that has to be read to judge an order: erased at each step and each bin, then kept at each bin.

        Parameters
        ----------
        order
            Units, the most important first.
        how
            "mask" or "delete".
        design
            Steps and bins.
        """
        steps, bins = design.erased_at_steps(len(order)), counts_of_shares(design.bins, len(order))
        erased = [self.without(order[:count], how) for count in (*steps, *bins)]
        return erased + [self.only(order[:count], how) for count in bins]

    def _erased(self, which: Bool[np.ndarray, " unit"], how: str) -> Ids:
        return erase(self.ids, self.units.tokens(which), how, self.replacement)


@dataclass(frozen=True)
class Verdict:
    """What the variants say about one order of a text's units.

    Attributes
    ----------
    drop
        How much the probability of the class falls at each step, ``(step,)``.
    right
        1 where the largest probability is still the label's, else 0, ``(step,)``.
    comprehensiveness
        Mean fall over the bins when they are erased.
    sufficiency
        Mean fall over the bins when only they are kept.
    """

    drop: Float[np.ndarray, " step"]
    right: Float[np.ndarray, " step"]
    comprehensiveness: float
    sufficiency: float


def judge(
    probabilities: Float[np.ndarray, "variant class"],
    whole: Float[np.ndarray, " class"],
    label: int,
    design: Design,
) -> Verdict:
    """Read the measures off the probabilities of :meth:`Trial.variants`.

    Parameters
    ----------
    probabilities
        Of every class, in the order of the variants.
    whole
        Of every class, for the whole text; the class that falls is the one with the largest.
    label
        Number of the right class.
    design
        Steps and bins.
    """
    steps, bins = len(design.steps), len(design.bins)
    predicted = int(whole.argmax())
    fall = whole[predicted] - probabilities[:, predicted]
    return Verdict(
        drop=fall[:steps],
        right=(probabilities[:steps].argmax(axis=1) == label).astype(np.float64),
        comprehensiveness=float(fall[steps : steps + bins].mean()),
        sufficiency=float(fall[steps + bins :].mean()),
    )


def mean_verdict(verdicts: Sequence[Verdict]) -> Verdict:
    """Average the verdicts on several random orders."""
    return Verdict(
        drop=np.mean([verdict.drop for verdict in verdicts], axis=0),
        right=np.mean([verdict.right for verdict in verdicts], axis=0),
        comprehensiveness=float(np.mean([verdict.comprehensiveness for verdict in verdicts])),
        sufficiency=float(np.mean([verdict.sufficiency for verdict in verdicts])),
    )
