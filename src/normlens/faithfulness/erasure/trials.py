"""One text: which variants of it are read, and what their probabilities say about an order of its units."""

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
    """A text with its units.

    Attributes
    ----------
    ids
        Token ids of the whole text.
    units
        The units that are erased.
    replacement
        Id that replaces erased tokens.
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
        """All variants that judge an order: units erased at each step and each bin, then units kept at each bin.

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
    """The measures of one order of the units of a text.

    Attributes
    ----------
    drop
        Drop of the probability of the class at each step, ``(step,)``.
    right
        1 where the label still has the largest probability, else 0, ``(step,)``.
    comprehensiveness
        Mean drop over the bins when their units are erased.
    sufficiency
        Mean drop over the bins when only their units are kept.
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
    """Compute the measures from the probabilities of :meth:`Trial.variants`.

    Parameters
    ----------
    probabilities
        Of every class, in the order of the variants.
    whole
        Of every class, for the whole text; drops are of the class with the largest.
    label
        Number of the correct class.
    design
        Steps and bins.
    """
    steps, bins = len(design.steps), len(design.bins)
    predicted = int(whole.argmax())
    drop = whole[predicted] - probabilities[:, predicted]
    return Verdict(
        drop=drop[:steps],
        right=(probabilities[:steps].argmax(axis=1) == label).astype(np.float64),
        comprehensiveness=float(drop[steps : steps + bins].mean()),
        sufficiency=float(drop[steps + bins :].mean()),
    )


def mean_verdict(verdicts: Sequence[Verdict]) -> Verdict:
    """Average the verdicts on several random orders."""
    return Verdict(
        drop=np.mean([verdict.drop for verdict in verdicts], axis=0),
        right=np.mean([verdict.right for verdict in verdicts], axis=0),
        comprehensiveness=float(np.mean([verdict.comprehensiveness for verdict in verdicts])),
        sufficiency=float(np.mean([verdict.sufficiency for verdict in verdicts])),
    )
