"""The definition of each number of the report, with its equation and source."""

from __future__ import annotations

from dataclasses import dataclass

from normlens.engine.tracing.scopes import NORM_VARIABLES


@dataclass(frozen=True)
class Definition:
    """One quantity.

    Attributes
    ----------
    name
        The `quantity` in the table of numbers.
    equation
        In the notation of the papers.
    meaning
        In words.
    """

    name: str
    equation: str
    meaning: str


DEFINITIONS = (
    Definition(
        "weight_share",
        "Σ_i Σ_{j∈C} α_ij / Σ_i Σ_j α_ij",
        "The share of the attention weight of a head that goes to the sources of category C, over all targets i. A special "
        "first token, such as [CLS], is in “special” and in “first token”; otherwise every source is in one category. "
        "“sink” is weight that goes to no token.",
    ),
    Definition(
        "weighted_norm_share",
        "Σ_i Σ_{j∈C} ‖α_ij f(x_j)‖ / Σ_i Σ_j ‖α_ij f(x_j)‖, where f(x) = (x W_V + b_V) W_O",
        "The same for the norms of what a head moves (Kobayashi et al. 2020).",
    ),
    Definition(
        ", ".join(f"{variable}_share" for variable in NORM_VARIABLES),
        "Σ_i Σ_{j∈C} ‖c_ij‖ / Σ_i Σ_j ‖c_ij‖, where c_ij = Σ_h α_ij^h f^h(x_j)",
        "The same for all heads of a layer together: the norm of the sum, not the sum of norms. In the others, c_ij "
        "is followed further through the layer, as far as the scope; “own” is then the target's own vector in "
        "cross-attention.",
    ),
    Definition(
        "vector_norm",
        "mean of ‖f(x_j)‖ over j∈C",
        "The length of the vectors. A text without a token of the category is left out (in shares it counts as 0).",
    ),
    Definition(
        "vector_norm_variation",
        "SD_j ‖f(x_j)‖ / mean_j ‖f(x_j)‖",
        "Coefficient of variation within a text: 0 if all vectors are equally long, so that weights alone would suffice.",
    ),
    Definition(
        "correlation_weight_vector_norm",
        "Spearman's ρ over j of mean_i α_ij with ‖f(x_j)‖",
        "Within a text; α is averaged over the targets that can see the source.",
    ),
    Definition(
        "correlation_weight_frequency, correlation_vector_norm_frequency",
        "Spearman's ρ over j with the rank of the token's frequency",
        "Special tokens are left out; rank 1 is the most frequent, so a positive ρ means more for rarer tokens. "
        "Category “all”: within each text, then the mean; “types”: over the distinct tokens of the corpus, α and "
        "‖f(x)‖ averaged over occurrences, layers and heads.",
    ),
    Definition(
        "mixing_ratio",
        "r_i = ‖Σ_{j≠i} c_ij‖ / (‖Σ_{j≠i} c_ij‖ + ‖c_ii‖)",
        "The share of a position's new vector that comes from other positions, each term summed before the norm "
        "(Kobayashi et al. 2021). c_ii includes the residual and passes through the LayerNorm as the scope says.",
    ),
    Definition(
        "mixing_ratio_weight",
        "mean_h Σ_{j≠i} α_ij^h; half of it at scope residual",
        "The ratio according to the weights alone.",
    ),
    Definition(
        "conservation_error",
        "‖Σ_j c_ij + bias_i − output_i‖ / ‖output_i‖",
        "Measured against the output of the model, to which contributions and bias must add up.",
    ),
)
"""All quantities, in the order of the report."""
