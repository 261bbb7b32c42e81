"""The logit lens against the modules after the layers, called by hand; and what it refuses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import transformers
from architectures import tiny
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

import normlens
from normlens.analysis import logit_lens as module
from normlens.errors import InvalidInput, UnsupportedArchitecture

TEXT = "the cat sat here. a dog ran."

HEADS: dict[str, tuple[str, Callable[[nn.Module, Tensor], Tensor]]] = {
    "llama": ("LlamaForCausalLM", lambda model, x: model.lm_head(model.model.norm(x))),
    "gpt2": ("GPT2LMHeadModel", lambda model, x: model.lm_head(model.transformer.ln_f(x))),
    "bert": ("BertForMaskedLM", lambda model, x: model.cls(x)),
    "gpt_neox": (
        "GPTNeoXForCausalLM",
        lambda model, x: model.get_output_embeddings()(model.gpt_neox.final_layer_norm(x)),
    ),
    "cohere": ("CohereForCausalLM", lambda model, x: model.lm_head(model.model.norm(x)) * model.config.logit_scale),
}


def model_of(kind: str) -> PreTrainedModel:
    torch.manual_seed(0)
    return getattr(transformers, HEADS[kind][0])(tiny.configuration(kind)).eval()


@pytest.mark.parametrize("kind", HEADS)
def test_it_is_what_the_modules_after_the_layers_make_of_each_layer(
    kind: str, tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of(kind)
    lens = normlens.load((model, tokenizer))
    ids = torch.tensor([tokenizer(TEXT)["input_ids"]])
    with torch.no_grad():
        states = model(ids, output_hidden_states=True).hidden_states[1:-1]  # the last one may be behind the norm
        expected = torch.stack([HEADS[kind][1](model, x)[0] for x in states] + [model(ids).logits[0]])
    hooks = [(list(m._forward_hooks), list(m._forward_pre_hooks)) for m in model.modules()]
    for most in (2**27, 1):  # all layers in one run; one at a time
        monkeypatch.setattr(module, "_MOST_LOGITS", most)
        data = lens.logit_lens(TEXT, top=3)
        values, best = expected.topk(3)
        np.testing.assert_array_equal(data["id"], best)
        np.testing.assert_allclose(data["logit"], values, atol=1e-5)
        np.testing.assert_allclose(data["probability"], expected.softmax(-1).gather(-1, best), atol=1e-6)
    assert data["token"].values[0, 0, 0] == tokenizer.decode([int(best[0, 0, 0])])
    assert data.sizes == {"layer": len(expected), "target": ids.shape[1], "rank": 3}
    assert data.attrs["note"].startswith("An approximation")
    assert hooks == [(list(m._forward_hooks), list(m._forward_pre_hooks)) for m in model.modules()]


def test_of_an_encoder_decoder_the_decoder_is_read(tokenizer: PreTrainedTokenizerFast) -> None:
    torch.manual_seed(0)
    model = transformers.MarianMTModel(tiny.configuration("marian")).eval()
    lens = normlens.load((model, tokenizer))
    data = lens.logit_lens("the cat", "a dog ran")
    analysis = lens.analyze("the cat", "a dog ran")
    source, target = (torch.tensor(analysis["cross"].data[f"{side}_id"].values)[None] for side in ("source", "target"))
    with torch.no_grad():
        final = model(source, decoder_input_ids=target).logits[0]
    np.testing.assert_allclose(data["logit"].values[-1], final.topk(5).values, atol=1e-5)


def test_what_has_no_head_or_no_sequence_of_layers_is_refused(
    reader: normlens.Lens, tokenizer: PreTrainedTokenizerFast
) -> None:
    with pytest.raises(InvalidInput, match="BertModel has no head that predicts tokens"):
        reader.logit_lens(TEXT)
    lens = normlens.load((model_of("llama"), tokenizer))
    for top in (0, -1, True, 2.5):
        with pytest.raises(InvalidInput, match="expected a positive integer"):
            lens.logit_lens(TEXT, top=top)  # type: ignore[arg-type]
    shared = normlens.load((transformers.AlbertForMaskedLM(tiny.configuration("albert")).eval(), tokenizer))
    with pytest.raises(UnsupportedArchitecture, match="A layer of AlbertForMaskedLM runs several times"):
        shared.logit_lens(TEXT)


def test_layers_that_read_something_else_are_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    model = model_of("llama")
    lens = normlens.load((model, tokenizer))
    hook = model.model.layers[1].register_forward_pre_hook(lambda _, args: (2 * args[0], *args[1:]))
    with pytest.raises(UnsupportedArchitecture, match=r"Layer 1 of LlamaForCausalLM reads something other"):
        lens.logit_lens(TEXT)
    hook.remove()


def test_a_hybrid_shows_its_layers_without_attention_too(tokenizer: PreTrainedTokenizerFast) -> None:
    torch.manual_seed(0)
    model = transformers.JambaForCausalLM(tiny.configuration("jamba")).eval()
    data = normlens.load((model, tokenizer)).logit_lens(TEXT)
    assert data.sizes["layer"] == model.config.num_hidden_layers
