"""A new translation model: Marian's architecture with all embeddings tied and random weights."""

from __future__ import annotations

from transformers import GenerationConfig, MarianConfig, MarianMTModel

from normlens.translation.recipe import Recipe
from normlens.translation.vocabulary import END, LONGEST_INPUT, PADDING, UNKNOWN


def new_model(recipe: Recipe, pieces: int) -> MarianMTModel:
    """Make the model.

    Parameters
    ----------
    recipe
        Its sizes.
    pieces
        Size of its vocabulary.
    """
    config = MarianConfig(
        vocab_size=pieces,
        d_model=recipe.width,
        encoder_layers=recipe.layers,
        decoder_layers=recipe.layers,
        encoder_attention_heads=recipe.heads,
        decoder_attention_heads=recipe.heads,
        encoder_ffn_dim=4 * recipe.width,
        decoder_ffn_dim=4 * recipe.width,
        dropout=recipe.dropout,
        attention_dropout=0.0,
        activation_dropout=0.0,
        activation_function="relu",
        init_std=recipe.width**-0.5,
        max_position_embeddings=LONGEST_INPUT,
        scale_embedding=True,
        share_encoder_decoder_embeddings=True,
        tie_word_embeddings=True,
        pad_token_id=PADDING,
        eos_token_id=END,
        decoder_start_token_id=PADDING,
        forced_eos_token_id=END,
    )
    model = MarianMTModel(config)
    model.set_attn_implementation("eager")  # faster than the fused kernel on sentences this short, and it shows weights
    model.generation_config = GenerationConfig(
        pad_token_id=PADDING,
        eos_token_id=END,
        decoder_start_token_id=PADDING,
        suppress_tokens=[UNKNOWN, PADDING],
        max_length=LONGEST_INPUT,
        num_beams=4,
    )
    return model
