"""A tree model in which every word has a domain, a value and a block-structured function; no word is a negation by rule."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from normlens.negation.meaning import Meaning, block_function
from normlens.negation.sentiment_trees.tree_models import TreeModel, fill_in, word_table

_NOISE = 0.01  # standard deviation of what is added to identities


class StructuredModel(TreeModel):
    """Domain, value and function, learned for every word.

    A functor f applied to an argument a makes the domain d_f + A_f d_a, the value v_f + B_f v_a + C_f d_a, and the function
    F_f F_a with F = [[A, 0], [C, B]]: ``apply(f, a, translate=True)`` of the algebra. Labels are read from the value alone.
    Functions start as the identity, hence a phrase as the sum of its words; that "not" keeps the domain and turns the value
    is for the training to find.

    Which child is the functor is a soft choice: the left one with the probability σ(β + s (φ_left − φ_right)). φ is one
    learned number for each word, and a phrase has that of its argument, as "very good" stands where "good" can stand. Both
    orders are computed and averaged. Words differ by φ alone and start equal, so that no word is a functor by rule. β, the
    preference of the language, is learned as well; English puts most functors first, and starting there spares the model
    from explaining "not good" by what "good" does to "not".

    Parameters
    ----------
    words
        Size of the vocabulary.
    domain, value
        m and n.
    leftness
        Where β starts.
    sharpness
        s: how fast φ decides.
    """

    def __init__(self, words: int, domain: int, value: int, *, leftness: float = 0.0, sharpness: float = 1.0) -> None:
        super().__init__(words, value)
        self.domain, self.value, self.sharpness = domain, value, sharpness
        self.domains, self.values = word_table(words, domain), word_table(words, value)
        self.domain_gains = word_table(words, domain, _NOISE)  # A is I + diag of it
        self.value_maps = word_table(words, value * value, _NOISE)  # B is I + it
        self.domain_to_value = word_table(words, value, _NOISE)  # C is diag of it times K
        self.shared = nn.Parameter(torch.randn(value, domain) / domain**0.5)  # K
        self.functorness = nn.Parameter(torch.zeros(words))  # φ
        self.leftness = nn.Parameter(torch.tensor(float(leftness)))  # β
        self._sizes = [domain, value, domain, value * domain, value * value, 1]

    def leaves(self, words: Int[Tensor, " leaf"]) -> Float[Tensor, "leaf state"]:
        """Domain, value, diagonal of A, C, B, and φ."""
        c = self.domain_to_value[words].unsqueeze(-1) * self.shared
        b = torch.eye(self.value, device=c.device, dtype=c.dtype) + self.value_maps[words].unflatten(
            1, (self.value, -1)
        )
        fields = [self.domains[words], self.values[words], 1 + self.domain_gains[words], c.flatten(1), b.flatten(1)]
        return torch.cat([*fields, self.functorness[words].unsqueeze(1)], dim=1)

    def join(
        self, left: Float[Tensor, "node state"], right: Float[Tensor, "node state"]
    ) -> Float[Tensor, "node state"]:
        """Both orders of functor and argument, averaged by the probability of each."""
        first = self.left_is_functor(left, right).unsqueeze(1)
        return first * self._applied(left, right) + (1 - first) * self._applied(right, left)

    def left_is_functor(
        self, left: Float[Tensor, "node state"], right: Float[Tensor, "node state"]
    ) -> Float[Tensor, " node"]:
        """The probability that the left child is the functor."""
        return torch.sigmoid(self.leftness + self.sharpness * (left[:, -1] - right[:, -1]))

    def vectors(self, states: Float[Tensor, "node state"]) -> Float[Tensor, "node size"]:
        """The values."""
        return states[:, self.domain : self.domain + self.value]

    def start_from(self, vectors: Float[Tensor, "word dimension"]) -> None:
        """Start domains from word vectors; values stay random."""
        fill_in(self.domains, vectors)

    def meanings(self, states: Float[Tensor, "node state"]) -> Meaning:
        """States as meanings of the algebra; the nodes are the batch."""
        domain, value, gains, c, b, _ = self._fields(states)
        return Meaning(domain, value, block_function(torch.diag_embed(gains), b, c))

    def _applied(self, functor: Tensor, argument: Tensor) -> Tensor:
        """The state that a functor makes of its argument."""
        d_f, v_f, a_f, c_f, b_f, _ = self._fields(functor)
        d_a, v_a, a_a, c_a, b_a, phi = self._fields(argument)
        domain = d_f + a_f * d_a
        # B, C and the value in one product: B_f [B_a, C_a, v_a]
        turned = b_f @ torch.cat([b_a, c_a, v_a.unsqueeze(-1)], dim=2)
        b, c, v = turned.split([self.value, self.domain, 1], dim=2)
        value = v_f + v.squeeze(-1) + (c_f @ d_a.unsqueeze(-1)).squeeze(-1)
        c = c + c_f * a_a.unsqueeze(1)
        return torch.cat([domain, value, a_f * a_a, c.flatten(1), b.flatten(1), phi], dim=1)

    def _fields(self, states: Tensor) -> tuple[Tensor, ...]:
        """Domain, value, diagonal of A, C, B and φ of states."""
        domain, value, gains, c, b, phi = states.split(self._sizes, dim=1)
        c, b = c.unflatten(1, (self.value, self.domain)), b.unflatten(1, (self.value, self.value))
        return domain, value, gains, c, b, phi
