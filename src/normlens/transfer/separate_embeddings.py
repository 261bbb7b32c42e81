"""Embeddings of its own for one side of a translation model, for the vocabulary of a new language."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from normlens.errors import UnsupportedArchitecture
from normlens.transfer.parameter_roles import Role, encoder_and_decoder
from normlens.transfer.token_ids import fit_ids


def separate_embeddings(model: PreTrainedModel, side: Role, vocabulary: int | None) -> PreTrainedModel:
    """Give the encoder or the decoder tables of its own, with the values that it had; other modules keep theirs.

    Parameters
    ----------
    model
        The model, which may be changed.
    side
        "source embeddings" or "target embeddings"; those of the target include the output projection.
    vocabulary
        Rows of the table of tokens: those of now, from the first on and again from the first. None: as many as now.

    Returns
    -------
    transformers.PreTrainedModel
        The model, or one of its class with two vocabularies where the class has such models.

    Raises
    ------
    UnsupportedArchitecture
        If the side has no table of tokens, or its output projection can't be replaced.
    """
    encoder, decoder = encoder_and_decoder(model)
    of_source = side == "source embeddings"
    own = encoder if of_source else decoder
    tokens = own.get_input_embeddings() if isinstance(own, PreTrainedModel) else None
    if not isinstance(tokens, nn.Embedding):
        raise UnsupportedArchitecture(
            f"{type(own).__name__} has no table of tokens that can be replaced. Choose a setting that begins with embed."
        )
    rows = tokens.num_embeddings if vocabulary is None else vocabulary
    if vocabulary is not None:
        fit_ids(model, rows, of_target=not of_source)
    if hasattr(model.config, "decoder_vocab_size"):
        other = (decoder if of_source else encoder).get_input_embeddings().num_embeddings
        return _with_two_vocabularies(model, *((rows, other) if of_source else (other, rows)))
    before, new = tokens.num_embeddings, _table(tokens, rows, model.config.pad_token_id)
    own.set_input_embeddings(new)
    if not of_source:
        _replace_output(model, tokens, new)
        model.config.vocab_size = rows
        for name, buffer in list(model.named_buffers(recurse=False)):  # a constant that is added to the logits
            if buffer.shape == (1, before) and rows != before:
                model.register_buffer(name, buffer.new_zeros(1, rows))
    return model


def _with_two_vocabularies(model: PreTrainedModel, of_source: int, of_target: int) -> PreTrainedModel:
    """A model of the same class, built with two vocabularies, with the same parameters."""
    config = copy.deepcopy(model.config)
    config.vocab_size, config.decoder_vocab_size = of_source, of_target
    config.share_encoder_decoder_embeddings = False
    with torch.random.fork_rng():
        new = type(model)(config).to(model.device, model.dtype).train(model.training)
    new.generation_config = model.generation_config
    before = model.state_dict()
    with torch.no_grad():
        for name, x in new.state_dict().items():
            old = before[name]
            if old.shape[1:] == x.shape[1:]:  # else a constant of the logits, for another number of tokens: zeros
                x.copy_(_repeated(old, len(x)))
    for side, own in zip(encoder_and_decoder(model), encoder_and_decoder(new), strict=True):
        padding = side.get_input_embeddings().padding_idx
        if padding is not None and padding < own.get_input_embeddings().num_embeddings:
            own.get_input_embeddings().padding_idx = padding
    return new


def _table(tokens: nn.Embedding, rows: int, padding: int | None) -> nn.Embedding:
    """A table of the same kind; its padding is the given id if it hasn't the old one."""
    new = copy.deepcopy(tokens)
    if rows != tokens.num_embeddings:
        new.weight, new.num_embeddings = nn.Parameter(_repeated(tokens.weight, rows)), rows
        if new.padding_idx is not None and new.padding_idx >= rows:
            new.padding_idx = padding
    return new


def _replace_output(model: PreTrainedModel, tokens: nn.Embedding, new: nn.Embedding) -> None:
    """An output projection for the new table: the table itself, if it was."""
    output = model.get_output_embeddings()
    if not isinstance(output, nn.Linear):
        raise UnsupportedArchitecture(
            f"The output projection of {type(model).__name__} can't be replaced. Choose a setting that begins with src or "
            "embed."
        )
    projection = copy.deepcopy(output)
    projection.out_features = new.num_embeddings
    if output.weight is tokens.weight:
        projection.weight = new.weight
    elif new.num_embeddings != output.out_features:
        projection.weight = nn.Parameter(_repeated(output.weight, new.num_embeddings))
    if projection.bias is not None and len(projection.bias) != new.num_embeddings:
        projection.bias = nn.Parameter(_repeated(output.bias, new.num_embeddings))
    model.set_output_embeddings(projection)


def _repeated(x: Tensor, rows: int) -> Tensor:
    """As many rows, from the first on and again from the first."""
    return x.detach()[torch.arange(rows, device=x.device) % len(x)].clone()
