"""The paper's classifiers: a recurrent one with additive attention, and one that reads each token alone.

Both answer with a :class:`Prediction`. A text is a row of ids; ``readable`` is True for the tokens that attention may weigh,
so that the first and the last token and padding can be left out. Two classes have one output, as in the paper.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from normlens.errors import InvalidInput


@dataclass(frozen=True)
class Prediction:
    """What a classifier says of a batch.

    Attributes
    ----------
    logits
        ``(text, class)``, or ``(text, 1)`` for the positive one of two classes.
    attention
        α, ``(text, token)``: zero where nothing may be read; rows add up to one.
    states
        The vectors h that α weighs, ``(text, token, width)``; None for a Transformer, whose vectors a lens measures.
    """

    logits: Float[Tensor, "text output"]
    attention: Float[Tensor, "text token"]
    states: Float[Tensor, "text token width"] | None = None

    @property
    def probabilities(self) -> Float[Tensor, "text class"]:
        """Probability of every class; rows add up to one."""
        if self.logits.shape[-1] > 1:
            return self.logits.softmax(dim=-1)
        return torch.cat([(-self.logits).sigmoid(), self.logits.sigmoid()], dim=-1)


class AdditiveAttention(nn.Module):
    """α = softmax of vᵀ tanh(W h + b) over the tokens that may be read.

    Parameters
    ----------
    width
        Size of a state h; W halves it.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Linear(width, width // 2)
        self.outer = nn.Linear(width // 2, 1, bias=False)

    def forward(
        self, states: Float[Tensor, "text token width"], readable: Bool[Tensor, "text token"]
    ) -> Float[Tensor, "text token"]:
        """Weigh the tokens of each text."""
        require_tokens(readable)
        scores = self.outer(torch.tanh(self.inner(states))).squeeze(-1)
        weights: Tensor = scores.masked_fill(~readable, -torch.inf).softmax(dim=-1)
        return weights


class RecurrentClassifier(nn.Module):
    """Embedding → one-layer BiLSTM → additive attention → logits.

    Parameters
    ----------
    vectors
        Word vectors to start from, a row for each id; they are trained along.
    classes
        Number of classes.
    hidden
        Size of the LSTM's state in each direction.
    """

    def __init__(self, vectors: Float[Tensor, "word size"], classes: int, *, hidden: int = 128) -> None:
        super().__init__()
        self.embedding = nn.Embedding.from_pretrained(vectors.clone(), freeze=False)
        self.encoder = nn.LSTM(vectors.shape[-1], hidden, batch_first=True, bidirectional=True)
        self.attention = AdditiveAttention(2 * hidden)
        self.head = nn.Linear(2 * hidden, outputs_of(classes))

    def forward(
        self,
        ids: Int[Tensor, "text token"],
        lengths: Int[Tensor, " text"],
        readable: Bool[Tensor, "text token"],
        attention: Float[Tensor, "text token"] | None = None,
    ) -> Prediction:
        """Read a batch that is padded on the right.

        Parameters
        ----------
        ids, lengths
            The texts, and how many tokens each has without its padding.
        readable
            Tokens that attention may weigh.
        attention
            Weights to use instead of the model's own, such as those of `uniform_attention`.
        """
        packed = pack_padded_sequence(self.embedding(ids), lengths.cpu(), batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.encoder(packed)[0], batch_first=True, total_length=ids.shape[1])
        alpha = self.attention(states, readable) if attention is None else attention
        return Prediction(self.head(_weighted_sum(alpha, states)), alpha, states)


class TokenClassifier(nn.Module):
    """The diagnostic: h = tanh(P e) of each token alone, so that only the weights can carry what the context says.

    Parameters
    ----------
    vectors, classes, hidden
        As for :class:`RecurrentClassifier`; h is as wide as the states of both directions.
    ids
        The ids that occur, ascending; vectors of others are left out, which no prediction for these ids depends on.
        Default: all.
    """

    numbers: Tensor | None

    def __init__(
        self,
        vectors: Float[Tensor, "word size"],
        classes: int,
        *,
        hidden: int = 128,
        ids: Int[Tensor, " id"] | None = None,
    ) -> None:
        super().__init__()
        numbers = None if ids is None else torch.zeros(len(vectors), dtype=torch.long)
        if numbers is not None and ids is not None:
            numbers[ids] = torch.arange(len(ids))
            vectors = vectors[ids]
        self.register_buffer("numbers", numbers, persistent=False)
        self.embedding = nn.Embedding.from_pretrained(vectors.clone(), freeze=False)
        self.projection = nn.Linear(vectors.shape[-1], 2 * hidden)
        self.attention = AdditiveAttention(2 * hidden)
        self.head = nn.Linear(2 * hidden, outputs_of(classes))

    def forward(
        self,
        ids: Int[Tensor, "text token"],
        lengths: Int[Tensor, " text"],
        readable: Bool[Tensor, "text token"],
        attention: Float[Tensor, "text token"] | None = None,
    ) -> Prediction:
        """Read a batch, as :class:`RecurrentClassifier` does; `attention` is the guide that is tested."""
        ids = ids if self.numbers is None else self.numbers[ids]
        states = torch.tanh(self.projection(self.embedding(ids)))
        alpha = self.attention(states, readable) if attention is None else attention
        return Prediction(self.head(_weighted_sum(alpha, states)), alpha, states)


def outputs_of(classes: int) -> int:
    """Number of outputs for that many classes: one for two.

    Raises
    ------
    InvalidInput
        If there are fewer than two.
    """
    if classes < 2:
        raise InvalidInput(f"The labels have {classes} class; expected at least two. Check the column of labels.")
    return 1 if classes == 2 else classes


def classification_loss(prediction: Prediction, labels: Int[Tensor, " text"]) -> Float[Tensor, ""]:
    """Mean cross-entropy of the right classes, binary where there is one output."""
    if prediction.logits.shape[-1] > 1:
        return nn.functional.cross_entropy(prediction.logits, labels)
    target = labels.to(prediction.logits.dtype)
    return nn.functional.binary_cross_entropy_with_logits(prediction.logits.squeeze(-1), target)


def _weighted_sum(
    alpha: Float[Tensor, "text token"], states: Float[Tensor, "text token width"]
) -> Float[Tensor, "text width"]:
    return torch.einsum("bt,btd->bd", alpha, states)


def require_tokens(readable: Bool[Tensor, "text token"]) -> None:
    """Refuse a batch in which attention may weigh no token of a text.

    Raises
    ------
    InvalidInput
        Naming the first such text.
    """
    empty = ~readable.any(dim=-1)
    if empty.any():
        raise InvalidInput(
            f"Text {int(empty.nonzero()[0])} of the batch has no token that attention may weigh; expected at least one "
            "beside the first and the last. Leave out texts that are empty or have one token."
        )
