"""Jain & Wallace 2019: other attention for a trained model, text by text, and agreement with other importance scores.

Random permutations of α, adversarial distributions that keep the prediction, and gradient and leave-one-out importance.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from normlens.faithfulness.erasure.erasing import erase
from normlens.faithfulness.four_tests.adversary import relative_entropy
from normlens.faithfulness.four_tests.encoded_texts import Batch, EncodedTexts
from normlens.faithfulness.four_tests.models import Prediction

Answer = Callable[[Tensor], Tensor]
"""Probabilities ``(text, class)`` that a trained model gives a batch with attention ``(text, token)``."""


def permutation_changes(
    answer: Answer,
    attention: Float[Tensor, "text token"],
    readable: Bool[Tensor, "text token"],
    *,
    permutations: int = 100,
    seed: int = 0,
) -> Float[np.ndarray, "permutation text"]:
    """Total variation distance of the prediction when α is given to the tokens in a random order.

    Parameters
    ----------
    answer
        Gives the model's predictions with other attention.
    attention, readable
        The model's own.
    permutations
        Orders that are drawn for each text.
    seed
        Draws them.

    Returns
    -------
    array, ``(permutation, text)``
        From 0 to 1.

    References
    ----------
    Jain & Wallace 2019, "Attention is not Explanation", section 4.2.1, https://aclanthology.org/N19-1357/.
    """
    generator = torch.Generator().manual_seed(seed)
    changes = []
    with torch.no_grad():
        before = answer(attention)
        for _ in range(permutations):
            order = random_orders(readable, generator)
            changes.append(((answer(attention.gather(1, order)) - before).abs().sum(dim=-1) / 2).cpu().numpy())
    return np.stack(changes).astype(np.float64)


def random_orders(readable: Bool[Tensor, "text token"], generator: torch.Generator) -> Int[Tensor, "text token"]:
    """For each token the token whose weight it gets: readable ones are permuted, the others stay."""
    places = torch.arange(readable.shape[1]).expand(readable.shape)
    keys = torch.rand(readable.shape, generator=generator)
    mask = readable.cpu()
    order = places.clone()
    for row in range(len(mask)):
        own = places[row][mask[row]]
        order[row][mask[row]] = own[keys[row][mask[row]].argsort()]
    return order.to(readable.device)


def adversarial_attention(
    answer: Answer,
    attention: Float[Tensor, "text token"],
    readable: Bool[Tensor, "text token"],
    *,
    distributions: int = 5,
    steps: int = 500,
    tolerance: float = 0.01,
    learning_rate: float = 0.01,
    seed: int = 0,
) -> tuple[Float[np.ndarray, " text"], Float[np.ndarray, " text"]]:
    """Attention as far as possible from α that leaves the prediction nearly as it is, by gradient, text by text.

    Several distributions of each text are moved away from α and from each other (Adam on
    −JSD to α + 500 · max(0, TVD − tolerance) − mean JSD of two of them).

    Parameters
    ----------
    answer, attention, readable, seed
        As in :func:`permutation_changes`.
    distributions
        Number of distributions of each text.
    steps, learning_rate
        Of Adam.
    tolerance
        Largest total variation distance of the prediction.

    Returns
    -------
    divergence, change
        For each text the largest JSD to α, in nats, among the distributions within the tolerance (0 where there is none),
        and the prediction's change there.

    References
    ----------
    Jain & Wallace 2019, section 4.2.2.
    """
    generator = torch.Generator().manual_seed(seed)
    shape = (distributions, *attention.shape)
    logits = torch.randn(shape, generator=generator).to(attention).requires_grad_()
    optimizer = torch.optim.Adam([logits], lr=learning_rate, amsgrad=True)
    with torch.no_grad():
        before = answer(attention)

    def measured() -> tuple[Tensor, Tensor, Tensor]:
        candidates = logits.masked_fill(~readable, -torch.inf).softmax(dim=-1)
        change = torch.stack([(answer(own) - before).abs().sum(dim=-1) / 2 for own in candidates])
        return candidates, change, _jensen_shannon(candidates, attention.expand(shape), readable)

    for _ in range(steps):
        optimizer.zero_grad(set_to_none=True)
        candidates, change, divergence = measured()
        loss = -divergence + 500 * torch.relu(change - tolerance)
        if distributions > 1:
            first, second = torch.triu_indices(distributions, distributions, offset=1).to(attention.device)
            mutual = _jensen_shannon(candidates[first], candidates[second], readable).mean(dim=0)
            loss = loss - mutual / distributions
        loss.sum().backward()
        optimizer.step()
    with torch.no_grad():
        _, change, divergence = measured()
        allowed = divergence.where(change <= tolerance, 0.0)
        best = allowed.argmax(dim=0, keepdim=True)
        chosen = change.gather(0, best)[0].where(allowed.gather(0, best)[0] > 0, 0.0)
    return allowed.amax(dim=0).double().cpu().numpy(), chosen.double().cpu().numpy()


def gradient_importance(
    model: nn.Module, embedding: nn.Module, batch: Batch, read: Callable[[Batch], Prediction]
) -> Float[np.ndarray, "text token"]:
    """|∂p/∂e · e| of each token's embedding e, for the probability p of the predicted class, from 0.

    Parameters
    ----------
    model, embedding
        A trained model, and its embedding of tokens.
    batch
        Texts.
    read
        How the model reads them.
    """
    seen: list[Tensor] = []

    def keep(module: nn.Module, args: object, output: Tensor) -> Tensor:
        seen.append(output.detach().requires_grad_())
        return seen[-1]

    handle = embedding.register_forward_hook(keep)
    try:
        # cuDNN's recurrent layers have no gradient in evaluation mode
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            probabilities = read(batch).probabilities
            (gradient,) = torch.autograd.grad(probabilities.amax(dim=-1).sum(), seen[-1])
    finally:
        handle.remove()
    model.zero_grad(set_to_none=True)
    return np.asarray((gradient * seen[-1]).sum(dim=-1).abs().detach().double().cpu().numpy())


def without_each_token(encoded: EncodedTexts, row: int) -> EncodedTexts:
    """A text without each token that may be read in turn, one text for each."""
    ids, mask = encoded.ids[row], encoded.readable[row]
    taken = np.flatnonzero(mask)
    which = [np.arange(len(ids)) == place for place in taken]
    return EncodedTexts(
        [erase(ids, one, "delete", 0) for one in which],
        [np.delete(mask, place) for place in taken],
        [],
        np.repeat(encoded.labels[row], len(taken)),
        encoded.padding,
    )


def _jensen_shannon(
    first: Float[Tensor, "*rest token"], second: Float[Tensor, "*rest token"], readable: Bool[Tensor, "text token"]
) -> Float[Tensor, "*rest"]:
    """Differentiable, unlike :func:`normlens.faithfulness.four_tests.jensen_shannon`."""
    middle = (first + second) / 2
    return (relative_entropy(first, middle, readable) + relative_entropy(second, middle, readable)) / 2
