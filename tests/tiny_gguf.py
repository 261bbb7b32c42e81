"""A tiny Llama as a GGUF file, written by the gguf package, with whatever is to be wrong about it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np

SIZE, LAYERS, HEADS, FORWARD, VOCABULARY = 16, 2, 2, 32, 24


def tensors(layers: int = LAYERS) -> dict[str, np.ndarray]:
    """The weights of a Llama of this many layers, by their GGUF names."""
    random = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (VOCABULARY, SIZE), "output_norm.weight": (SIZE,)}
    for k in range(layers):
        square = {f"blk.{k}.attn_{name}.weight": (SIZE, SIZE) for name in ("q", "k", "v", "output")}
        norms = {f"blk.{k}.{name}_norm.weight": (SIZE,) for name in ("attn", "ffn")}
        wide = {f"blk.{k}.ffn_{name}.weight": (FORWARD, SIZE) for name in ("gate", "up")}
        shapes |= square | norms | wide | {f"blk.{k}.ffn_down.weight": (SIZE, FORWARD)}
    return {name: random.normal(size=shape, scale=0.3).astype(np.float32) for name, shape in shapes.items()}


def write(
    path: Path, weights: Mapping[str, np.ndarray], *, packed: gguf.GGMLQuantizationType | None = None, **header: Any
) -> Path:
    """Write a GGUF file; ``header`` changes what it says of itself, such as ``block_count``.

    Bytes among the weights are blocks of the type ``packed``.
    """
    said = {"block_count": LAYERS, "embedding_length": SIZE, "feed_forward_length": FORWARD, "head_count": HEADS}
    said |= {"context_length": 64, "head_count_kv": HEADS, "vocabulary": VOCABULARY} | header
    writer = gguf.GGUFWriter(str(path), "llama")
    for name in (
        "block_count",
        "embedding_length",
        "feed_forward_length",
        "head_count",
        "head_count_kv",
        "context_length",
    ):
        getattr(writer, f"add_{name}")(said[name])
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(said["vocabulary"])
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(["<s>", "</s>", "ab", *(chr(97 + k) for k in range(VOCABULARY - 3))])
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    for name, x in weights.items():
        writer.add_tensor(name, x, raw_dtype=packed if x.dtype == np.uint8 else None)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
