"""The algebra of Hermann, Grefenstette & Blunsom 2013: a word has a domain, a value and a function.

Negation keeps the domain, turns and weakens the value, and turns and weakens what the function makes of a value. All
functions are differentiable, and any leading axes of a meaning are a batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from normlens.errors import InvalidInput, did_you_mean

Tree: TypeAlias = str | tuple["Tree", "Tree"]
"""A word, or a functor and its argument: ``("not", ("very", "good"))``."""


@dataclass(frozen=True, eq=False)
class Meaning:
    """What a word or a phrase means.

    Attributes
    ----------
    domain
        d: what it is about, ``(..., m)``. "hot" and "cold" share it.
    value
        v: where it stands in its domain, ``(..., n)``.
    function
        F: what it does to the domain and value of an argument, ``(..., m + n, m + n)``.

    Raises
    ------
    InvalidInput
        If the shapes don't fit.
    """

    domain: Float[Tensor, "*batch m"]
    value: Float[Tensor, "*batch n"]
    function: Float[Tensor, "*batch m+n m+n"]

    def __post_init__(self) -> None:
        shapes = [tuple(x.shape) for x in (self.domain, self.value, self.function)]
        fits = (
            all(len(shape) > 0 for shape in shapes) and len({len(shapes[0]), len(shapes[1]), len(shapes[2]) - 1}) == 1
        )
        if fits:
            size = shapes[0][-1] + shapes[1][-1]
            fits = shapes[0][:-1] == shapes[1][:-1] and shapes[2] == (*shapes[0][:-1], size, size)
        if not fits:
            raise InvalidInput(
                f"Domain, value and function have shapes {shapes[0]}, {shapes[1]} and {shapes[2]}; expected (..., m), "
                "(..., n) and (..., m + n, m + n) with equal leading axes."
            )

    @property
    def sizes(self) -> tuple[int, int]:
        """M and n: how many numbers domain and value have."""
        return self.domain.shape[-1], self.value.shape[-1]

    @property
    def vector(self) -> Float[Tensor, "*batch m+n"]:
        """[d; v]."""
        return torch.cat([self.domain, self.value], dim=-1)


@dataclass(frozen=True, eq=False)
class Negation:
    """How a word negates: J_μ on vectors and J_ν on functions, with J_μ = diag(I_m, −μ I_n).

    Attributes
    ----------
    mu
        μ, between 0 and 1: what is left of the value, with its sign turned.
    nu
        ν, between μ and 1: what is left of the part of the function that makes the value.
    bias
        b, added to the turned value: a number, or a vector of n. The theory has none; annotated sentences do.

    Raises
    ------
    InvalidInput
        Unless 0 < μ < ν < 1.
    """

    mu: float | Float[Tensor, ""]
    nu: float | Float[Tensor, ""]
    bias: float | Float[Tensor, "*n"] | None = None

    def __post_init__(self) -> None:
        mu, nu = (float(x.detach() if isinstance(x, Tensor) else x) for x in (self.mu, self.nu))
        if not 0 < mu < 1:
            raise InvalidInput(f"μ is {mu:g}; expected a number between 0 and 1: negation weakens the value it turns.")
        if not mu < nu < 1:
            raise InvalidInput(f"ν is {nu:g} with μ = {mu:g}; expected a number between μ and 1.")

    def turned(self, value: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch n"]:
        """−μ v + b.

        Raises
        ------
        InvalidInput
            If b is a vector of another size.
        """
        if self.bias is None:
            return -self.mu * value
        if isinstance(self.bias, Tensor) and tuple(self.bias.shape) not in ((), (value.shape[-1],)):
            raise InvalidInput(
                f"The bias has shape {tuple(self.bias.shape)}, but values have {value.shape[-1]} numbers; expected a "
                "number, or as many as a value has."
            )
        return -self.mu * value + self.bias


def apply(functor: Meaning, argument: Meaning, *, translate: bool = False) -> Meaning:
    """Apply a functor to its argument: [d; v] = F_f [d_a; v_a] and F = F_f F_a.

    Parameters
    ----------
    functor, argument
        Two meanings of the same sizes.
    translate
        Add the functor's own domain and value: [d; v] = F_f [d_a; v_a] + [d_f; v_f]. The functor is then an affine map, and
        applying it is composing two of them. A negation's b is its own value.

    Returns
    -------
    Meaning
        Application is associative, with or without the translation: ``apply(apply(f, g), x)`` is
        ``apply(f, apply(g, x))``.

    Raises
    ------
    InvalidInput
        If m or n differ.
    """
    if functor.sizes != argument.sizes:
        raise InvalidInput(
            f"The functor has m, n = {functor.sizes}, its argument {argument.sizes}; expected equal ones."
        )
    vector = (functor.function @ argument.vector.unsqueeze(-1)).squeeze(-1)
    if translate:
        vector = vector + functor.vector
    m, n = functor.sizes
    domain, value = vector.split([m, n], dim=-1)
    return Meaning(domain, value, functor.function @ argument.function)


def negate(meaning: Meaning, negation: Negation) -> Meaning:
    """Negate a meaning: (d, −μ v + b, J_ν F).

    Parameters
    ----------
    meaning
        What is negated.
    negation
        Its μ, ν and b.

    Returns
    -------
    Meaning
        After k negations without bias the domain is d, the value (−μ)ᵏ v, and the rows of F that make the value are those
        of (−ν)ᵏ F. As ν > μ, "not" weakens a functor less than it weakens what the functor is applied to: negation is not
        associative, ``apply(negate(f), x)`` has the value −ν F_f x where ``negate(apply(f, x))`` has −μ F_f x.
    """
    m = meaning.sizes[0]
    kept, turned = meaning.function[..., :m, :], -negation.nu * meaning.function[..., m:, :]
    return Meaning(meaning.domain, negation.turned(meaning.value), torch.cat([kept, turned], dim=-2))


def compose(
    tree: Tree,
    lexicon: Mapping[str, Meaning],
    negations: Mapping[str, Negation],
    *,
    translate: bool = False,
) -> Meaning:
    """The meaning of a tree, from its leaves up.

    Parameters
    ----------
    tree
        A word, or a functor and its argument.
    lexicon
        The meanings of words.
    negations
        The words that negate the argument they are the functor of.
    translate
        As in :func:`apply`.

    Raises
    ------
    InvalidInput
        If a word is in neither table, a negation is no functor, a branch is not a pair, or sizes differ.
    """
    if isinstance(tree, str):
        if tree in negations:
            raise InvalidInput(f"{tree!r} negates nothing here; expected a functor with an argument: ({tree!r}, …).")
        if tree not in lexicon:
            raise InvalidInput(
                f"There is no word {tree!r}; expected one of the {len(lexicon)} words of the lexicon or a negation "
                f"({', '.join(map(repr, negations)) or 'there is none'}).{did_you_mean(tree, [*lexicon, *negations])}"
            )
        return lexicon[tree]
    if not isinstance(tree, tuple) or len(tree) != 2:
        raise InvalidInput(f"A branch of the tree is {tree!r}; expected a word, or a pair of functor and argument.")
    functor, argument = tree
    of_argument = compose(argument, lexicon, negations, translate=translate)
    if isinstance(functor, str) and functor in negations:
        return negate(of_argument, negations[functor])
    return apply(compose(functor, lexicon, negations, translate=translate), of_argument, translate=translate)


def block_function(
    domain: Float[Tensor, "*batch m m"],
    value: Float[Tensor, "*batch n n"],
    domain_to_value: Float[Tensor, "*batch n m"] | None = None,
) -> Float[Tensor, "*batch m+n m+n"]:
    """A function that keeps domain and value apart: [[A, 0], [C, B]].

    The domain of the result never depends on a value. Its value may depend on the domain, through C.

    Parameters
    ----------
    domain, value
        A and B.
    domain_to_value
        C. Default: zero.

    Raises
    ------
    InvalidInput
        If the blocks don't fit.
    """
    m, n, batch = domain.shape[-1], value.shape[-1], tuple(domain.shape[:-2])
    corner = value.new_zeros(*batch, n, m) if domain_to_value is None else domain_to_value
    shapes = [tuple(x.shape) for x in (domain, value, corner)]
    if shapes != [(*batch, m, m), (*batch, n, n), (*batch, n, m)]:
        raise InvalidInput(
            f"The blocks A, B and C have shapes {shapes[0]}, {shapes[1]} and {shapes[2]}; expected (..., m, m), (..., n, n) "
            "and (..., n, m) with equal leading axes."
        )
    zero = domain.new_zeros(*batch, m, n)
    return torch.cat([torch.cat([domain, zero], dim=-1), torch.cat([corner, value], dim=-1)], dim=-2)
