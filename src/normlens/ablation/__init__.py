"""Ablation: a model with some of its heads switched off, and switched on again bit for bit."""

from normlens.ablation.ablated_heads import Ablation, ablate

__all__ = ["Ablation", "ablate"]
