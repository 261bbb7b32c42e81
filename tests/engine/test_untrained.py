"""Weights that a checkpoint lacks: refused where they are read, and only there."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, BertForSequenceClassification, BertModel, GPT2Config, GPT2Model

import normlens
from normlens.attribution import VectorNorm
from normlens.engine.frozen import pull_back, push_forward
from normlens.engine.trained import require_trained
from normlens.errors import InvalidInput
from normlens.faithfulness.erasure.classifying import LensClassifier
from normlens.loading.untrained import mark_untrained, untrained
from normlens.topk.needs.quality import quality_of

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
CLASSIFIER = ["bert.pooler.dense.weight", "bert.pooler.dense.bias", "classifier.weight", "classifier.bias"]
TEXT = [5, 6, 7]


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> normlens.Lens:
    """A GPT-2 whose checkpoint holds no language-model head."""
    folder = tmp_path_factory.mktemp("gpt2")
    config = GPT2Config(vocab_size=50, n_positions=32, n_embd=16, n_layer=2, n_head=2, tie_word_embeddings=False)
    GPT2Model(config).save_pretrained(folder)
    return normlens.load(folder, task="causal-lm")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT as it comes out of pretraining: no pooler, no classifier."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("bert")
    BertForMaskedLM(BertConfig(vocab_size=50, max_position_embeddings=32, **SMALL)).save_pretrained(folder)
    return folder


@pytest.fixture
def classifier(folder: Path) -> normlens.Lens:
    return normlens.load(folder, task="sequence-classification")


def test_what_the_checkpoint_lacks_is_known_by_name(folder: Path, classifier: normlens.Lens) -> None:
    assert sorted(untrained(classifier.model)) == sorted(CLASSIFIER)
    assert untrained(normlens.load(folder).model) == {}  # its decoder is tied to the embeddings, not missing


@pytest.mark.parametrize("method", ["decompx", "logit", "gradient_input", "integrated_gradients"])
@pytest.mark.parametrize("target", [0, (1, 0), "logprob: LABEL_1", lambda output: output.logits[:, 0]])
def test_a_random_head_is_not_explained(classifier: normlens.Lens, method: str, target: object) -> None:
    with pytest.raises(InvalidInput, match=r"BertForSequenceClassification has no .* random numbers"):
        classifier.attribute(TEXT, method=method, target=target)


def test_what_reads_no_head_goes_on(folder: Path, classifier: normlens.Lens) -> None:
    plain = normlens.load(folder, task="base")
    assert sorted(untrained(plain.model)) == ["pooler.dense.bias", "pooler.dense.weight"]
    expected = plain.analyze(TEXT)["encoder"].norm
    assert torch.equal(torch.tensor(classifier.analyze(TEXT)["encoder"].norm.values), torch.tensor(expected.values))
    shares = [lens.attribute(TEXT, target=VectorNorm(), position=0) for lens in (classifier, plain)]
    assert shares[0].values == pytest.approx(shares[1].values)
    classifier.attribute(TEXT, method="decompx", at="bert.encoder.layer.1")


def test_a_random_pooler_is_refused_where_it_is_read(folder: Path) -> None:
    lens = normlens.load(folder, task="base")
    with pytest.raises(InvalidInput, match=r"BertModel has no pooler\.dense\.bias and 1 more"):
        lens.attribute(TEXT, target=lambda output: output.pooler_output[:, 0])
    inputs = {"input_ids": torch.tensor([TEXT])}
    pull_back(lens.model, inputs, lambda output: output.last_hidden_state[:, 0, 0])
    with pytest.raises(InvalidInput, match="pooler"):
        pull_back(lens.model, inputs, lambda output: output.pooler_output[:, 0])
    with pytest.raises(InvalidInput, match="pooler"):
        push_forward(lens.model, inputs, "pooler.dense")


def test_a_random_classifier_is_not_tested(classifier: normlens.Lens, tokenizer: object) -> None:
    lens = normlens.load((classifier.model, tokenizer))
    with pytest.raises(InvalidInput, match="random numbers"):
        LensClassifier(lens).probabilities([np.array(TEXT)])


def test_a_random_language_model_writes_and_predicts_nothing(decoder: normlens.Lens) -> None:
    with pytest.raises(InvalidInput, match=r"lm_head\.weight: .* random"):
        decoder.analyze(TEXT, generate=2)
    with pytest.raises(InvalidInput, match=r"lm_head\.weight"):
        quality_of(decoder.model, torch.tensor([TEXT]))
    for method in ("alti_logit", "decompx"):
        with pytest.raises(InvalidInput, match=r"lm_head\.weight"):
            decoder.attribute(TEXT, method=method, target=7)
    decoder.analyze(TEXT)


def test_the_mark_goes_with_copies_casts_and_pairs(classifier: normlens.Lens) -> None:
    model = copy.deepcopy(classifier.model).to(torch.bfloat16).float()
    assert sorted(untrained(model)) == sorted(CLASSIFIER)
    with pytest.raises(InvalidInput, match="random numbers"):
        normlens.load((model.half(), None)).attribute(TEXT, target=0)


@pytest.mark.parametrize("change", ["step", "replaced", "loaded"])
def test_a_head_that_was_trained_since_is_read(classifier: normlens.Lens, change: str) -> None:
    model = classifier.model
    if change == "step":
        model(torch.tensor([TEXT]), labels=torch.tensor([1])).loss.backward()
        torch.optim.AdamW(model.parameters(), lr=1e-5).step()
    elif change == "replaced":
        model.bert.pooler.dense.weight = torch.nn.Parameter(torch.eye(16))
        model.classifier = torch.nn.Linear(16, 2).eval()
    else:
        model.load_state_dict(BertForSequenceClassification(model.config).state_dict())
    assert untrained(model) == {}
    classifier.attribute(TEXT, target=0)


def test_weights_before_attention_are_refused_by_an_analysis(folder: Path) -> None:
    lens = normlens.load(folder, task="base")
    mark_untrained(lens.model, ["embeddings.LayerNorm.bias"])
    with torch.inference_mode(), pytest.raises(InvalidInput, match=r"embeddings\.LayerNorm\.bias"):
        lens.analyze(TEXT)


def test_only_what_is_read_counts() -> None:
    model = BertModel(BertConfig(vocab_size=50, **SMALL))
    mark_untrained(model, ["pooler.dense.weight"])
    model.requires_grad_(False)
    require_trained(model, lambda: model(torch.tensor([TEXT])).last_hidden_state)
    with pytest.raises(InvalidInput, match="pooler"):
        require_trained(model, lambda: model(torch.tensor([TEXT])).pooler_output)
    assert not any(x.requires_grad for x in model.parameters())
