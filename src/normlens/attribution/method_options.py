"""The types of the methods' own options; the registry says which method takes which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from normlens.attribution.targets.answer_tokens import Score
    from normlens.engine.frozen.call import Product
    from normlens.inputs.example_stream import Skip
    from normlens.words.text_spans import Spans


class MethodOptions(TypedDict, total=False):
    """Options that only some methods take; each is described on its method's page.

    Attributes
    ----------
    at, sources
        Paths of modules: where contribution vectors are read, and which module's output counts as the sources
        (decompx).
    vectors
        Whether to give contribution vectors instead of shares (decompx).
    steps, baseline
        Number of points between a baseline and the input, and the baseline (decompx, integrated_gradients).
    tolerance
        Largest allowed gap between the sum of the shares and the target (integrated_gradients).
    layers
        "model" for the whole model, or "each" for every layer by itself (methods that return maps).
    group
        Kind of attention, such as "encoder" (methods that return maps).
    residual
        Fixed share of the residual stream (rollout, flow, norm_rollout).
    normalized
        Whether rows are divided by their sums (flow, norm_rollout).
    rolled
        Whether each layer's updates are tracked back to the input tokens (alti_logit).
    replacement
        None to delete the tokens of a word or span, or the special token that replaces them (occlusion, shapley,
        contextcite).
    samples, ablations, seed
        Number of random orders (shapley), of random ablations (contextcite), and the seed of both.
    alpha
        Weight of the L1 penalty (contextcite).
    """

    at: str | None
    sources: str | None
    vectors: bool
    steps: int | None
    baseline: Any
    tolerance: float
    layers: str
    group: str | None
    residual: float
    normalized: bool
    rolled: bool
    replacement: str | None
    samples: int
    ablations: int
    seed: int
    alpha: float


class AttributeOptions(MethodOptions, total=False):
    """The keyword-only parameters of :meth:`normlens.Lens.attribute`, described there."""

    method: str
    scope: str | None
    target: Any
    position: Any
    target_text: Any
    generation_prompt: bool
    batch_size: int
    progress: bool
    truncate: bool
    skip: Skip | None
    chunk_size: int
    product: Product
    generate: int | None
    answer: Any
    score: Score
    whole: bool
    spans: Spans | None
