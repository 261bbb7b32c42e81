"""Choices of k sources and their controls: what each keeps, and the study run for real on tiny models."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from architectures import tiny
from torch import Tensor, nn
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

import reproduce.topk.table as topk_table
from normlens.topk.projections import FactoredProjection
from reproduce.topk.choices import losses
from reproduce.topk.controls import CONTROLS, KEPT, LEFT_OUT, SCALED, Control, _ControlAttention

TEXT = "the cat sat here. a dog ran here, the dog is here. the cat is a cat, a dog is a dog. the cat ran. the dog sat."


@pytest.fixture(scope="module")
def models(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    above = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    LlamaForCausalLM(tiny.configuration("llama")).save_pretrained(above / "decoder")
    tiny.build("bert").save_pretrained(above / "encoder")
    for name in ("decoder", "encoder"):
        tokenizer.save_pretrained(above / name)
    return above


def attended(by: str, k: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Output of a control on one causal head, its weights, norms and values; sources 0 and 1 are sinks."""
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(1, 1, 8, 5, generator=generator, dtype=torch.float64) for _ in range(3))
    key[..., :2, :] += 2 * query.mean(-2, keepdim=True)
    norms = torch.rand(8, generator=generator, dtype=torch.float64) + 0.1
    module = nn.Linear(1, 1)
    projection = cast("FactoredProjection", SimpleNamespace(log_norms=lambda value: norms.log()[None, None]))
    attention = _ControlAttention(Control(by, "renormalized", k, None, (0, 1)), {module: projection})
    seen = torch.ones(8, 8).tril().bool()
    output, _ = attention(module, query, key, value, seen[None, None], 0.7)
    weights = (0.7 * query @ key.transpose(-1, -2)).masked_fill(~seen, -torch.inf).softmax(-1)[0, 0]
    return output[0, :, 0], weights, norms, value[0, 0]


@pytest.mark.parametrize("by", CONTROLS)
def test_a_control_keeps_what_it_says(by: str) -> None:
    output, weights, norms, value = attended(by, 3)
    for target, row in enumerate(weights):
        ranking = row * (1 if by == LEFT_OUT else norms)
        ranking[:2] *= {KEPT: 1e9, LEFT_OUT: 1e-9, SCALED: 1}[by]
        kept = ranking[: target + 1].argsort(descending=True)[:3]
        total = row.sort(descending=True).values[:3].sum() if by == SCALED else row[kept].sum()
        assert torch.allclose(output[target], row[kept] @ value[kept] / total, atol=1e-12), target


def test_the_study_measures_every_choice(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(models)
    monkeypatch.setattr(topk_table, "DECODER", "decoder")
    monkeypatch.setattr(topk_table, "ENCODER", "encoder")
    (tmp_path / "text.txt").write_text(TEXT)
    sizes = ["--tokens", "12", "--choice-passages", "2", "--encoder-tokens", "9", "--encoder-passages", "2"]
    parts = ["choices of decoder", "choices of encoder"]
    output = ["--text", str(tmp_path / "text.txt"), "--output", str(tmp_path / "results")]
    assert topk_table.main([*sizes, *output, "--parts", *parts]) == 0
    kept: dict[str, Any] = json.loads((tmp_path / "results/topk/result.json").read_text(encoding="utf-8"))
    decoder, encoder = (kept[part] for part in parts)
    assert decoder["ks"] == encoder["ks"] == [2, 4, 8]
    assert (losses(encoder, "joint renormalized 8") < losses(encoder, "weight renormalized 2")).all()
    assert not (losses(decoder, f"{LEFT_OUT} renormalized 2") == losses(decoder, "weight renormalized 2")).all()
    page = (tmp_path / "results/topk/page.md").read_text(encoding="utf-8")
    assert "| norm, sinks always kept, renormalized |" in page and "the first and the last token" in page
    assert (tmp_path / "results/topk/choices.svg").exists()
