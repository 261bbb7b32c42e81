"""The findings of a report in sentences, for the top of its page."""

from __future__ import annotations

from normlens.statistics import TYPES
from normlens.statistics.report.estimates import Estimate, Estimates

_NAMES = {"special": "special tokens", "first token": "the first token", "punctuation": "punctuation"}


def findings(numbers: Estimates) -> list[str]:
    """Answer the questions of the report, the most important first.

    Parameters
    ----------
    numbers
        The numbers of one kind of attention.

    Returns
    -------
    list of str
        One finding per entry, with bootstrap intervals in parentheses; questions that the corpus can't answer are left out.
    """
    shares = [_share(numbers, category) for category in _NAMES]
    others = [_vectors(numbers), _cancellation(numbers), _mixing(numbers), _frequency(numbers)]
    return [finding for finding in [*shares, *others] if finding]


def widest_gap(numbers: Estimates, category: str) -> int | None:
    """Find the layer in which weights and norms differ most.

    Parameters
    ----------
    numbers
        The numbers of one kind of attention.
    category
        Category of the shares to compare.

    Returns
    -------
    int or None
        Layer number; None if no layer has both shares.
    """
    gaps = {}
    for layer in numbers.layers:
        weight, norm = _pair(numbers, category, layer)
        if weight and norm:
            gaps[layer] = abs(weight.value - norm.value)
    return max(gaps, key=lambda layer: gaps[layer], default=None)


def _pair(numbers: Estimates, category: str, layer: int | None = None) -> tuple[Estimate | None, Estimate | None]:
    """Look up the share by weight and the share by norm."""
    return numbers.get("weight_share", category, layer), numbers.get(numbers.norm_share, category, layer)


def _share(numbers: Estimates, category: str) -> str:
    """Compare the shares of a category by weight and by norm."""
    weight, norm = _pair(numbers, category)
    layer = widest_gap(numbers, category)
    if not weight or not norm or layer is None or weight.value == 0:
        return ""
    name = _NAMES[category]
    by_weight, by_norm = _pair(numbers, category, layer)
    sentence = f"Weights say {weight.percent()} goes to {name}; norms say {norm.percent()}."
    if len(numbers.layers) == 1 or not by_weight or not by_norm:
        return sentence
    return f"{sentence} They differ most in layer {layer}: {by_weight.percent()} against {by_norm.percent()}."


def _vectors(numbers: Estimates) -> str:
    """State how unequal the vectors are."""
    variation = numbers.get("vector_norm_variation")
    if not variation:
        return ""
    sentence = f"The vectors are not equally long: ‖f(x)‖ has a coefficient of variation of {variation.number()}"
    special, other = numbers.get("vector_norm", "special"), numbers.get("vector_norm", "other")
    if special and other and other.value > 0:
        sentence += f", and is {special.value / other.value:.2f} times as long for special tokens as for other tokens"
    return f"{sentence}."


def _cancellation(numbers: Estimates) -> str:
    """State whether weight and vector norm counteract each other."""
    correlation = numbers.get("correlation_weight_vector_norm")
    if not correlation:
        return ""
    if correlation.low <= 0 <= correlation.high:
        meaning = "the weight a token gets says little about the length of its vector"
    elif correlation.value < 0:
        meaning = "tokens that get more weight tend to have shorter vectors, so the two work against each other"
    else:
        meaning = "tokens that get more weight tend to have longer vectors, so the two work together"
    return f"Inside a text, α and ‖f(x)‖ have a rank correlation of {correlation.number()}: {meaning}."


def _mixing(numbers: Estimates) -> str:
    """State how much comes from other positions, by scope."""
    terms = []
    for scope in numbers.categories("mixing_ratio"):
        norm, weight = numbers.get("mixing_ratio", scope), numbers.get("mixing_ratio_weight", scope)
        if norm:
            by_weight = f" (by weight {weight.percent()})" if weight else ""
            terms.append(f"{norm.percent()} at scope {scope}{by_weight}")
    return f"By norm, what comes from other positions is {'; '.join(terms)}." if terms else ""


def _frequency(numbers: Estimates) -> str:
    """State whether rarer tokens get more weight or have longer vectors."""
    terms = []
    for category, where in ((TYPES, "over the distinct tokens of the corpus"), ("all", "inside a text, in the mean")):
        weight = numbers.get("correlation_weight_frequency", category)
        norm = numbers.get("correlation_vector_norm_frequency", category)
        if weight and norm:
            terms.append(f"{weight.number()} with α and {norm.number()} with ‖f(x)‖ {where}")
    if not terms:
        return ""
    return f"The rank of a token's frequency (1 is the most frequent) has a rank correlation of {'; of '.join(terms)}."
