"""The log of a training: its numbers are those of the model at each evaluation, and training isn't changed by it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from architectures import tiny
from torch.utils.data import Dataset
from transformers import BertForSequenceClassification, PreTrainedTokenizerFast, Trainer, TrainingArguments

import normlens
from normlens.errors import InvalidInput
from normlens.statistics.heads import AttentionLog, measure_heads

TEXTS = ["the cat sat here.", "the dog ran.", "a cat is a cat."]


class Labeled(Dataset[dict[str, Any]]):
    """Eight sentences with two labels."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        texts = [f"the {word} {verb}" for word in ("cat", "dog") for verb in ("sat", "ran", "is", "here")]
        self.rows = [{**tokenizer(text), "labels": number % 2} for number, text in enumerate(texts)]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> dict[str, Any]:
        return self.rows[number]


def trained(tokenizer: PreTrainedTokenizerFast, folder: Path, *, logs: bool) -> tuple[Trainer, normlens.Lens]:
    torch.manual_seed(0)
    model = BertForSequenceClassification(tiny.configuration("bert")).eval()
    arguments = TrainingArguments(
        str(folder), max_steps=4, eval_strategy="steps", eval_steps=2, learning_rate=1e-2, report_to=[], use_cpu=True,
        per_device_train_batch_size=4, save_strategy="no", disable_tqdm=True, logging_strategy="no",
    )  # fmt: skip
    data = Labeled(tokenizer)
    trainer = Trainer(model, arguments, train_dataset=data, eval_dataset=data, processing_class=tokenizer)
    lens = normlens.load((model, tokenizer))
    if logs:
        trainer.add_callback(AttentionLog(lens, TEXTS, trainer.log))
    trainer.train()
    return trainer, lens


def test_each_evaluation_logs_the_model_as_it_is_then(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    trainer, lens = trained(tokenizer, tmp_path, logs=True)
    logged = [entry for entry in trainer.state.log_history if "attention/encoder/sink_by_norm" in entry]
    assert [entry["step"] for entry in logged] == [2, 4]
    trainer.model.eval()
    table = measure_heads(lens, TEXTS, progress=False)["encoder"].table()
    overall = table[table["layer"].isna()].set_index("quantity")["value"]
    for name in ("first_token_weight", "first_token_norm", "sink_by_weight", "output_norm"):
        assert logged[1][f"attention/encoder/{name}"] == pytest.approx(overall[name], rel=1e-5)
    ratios = [float(lens.analyze(text)["encoder"].data["mixing_ratio"].sel(scope="residual").mean()) for text in TEXTS]
    assert logged[1]["attention/encoder/mixing_ratio_residual"] == pytest.approx(sum(ratios) / 3, rel=1e-5)
    assert logged[0]["attention/encoder/output_norm"] != logged[1]["attention/encoder/output_norm"]


def test_training_is_the_same_with_and_without_the_log(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    (one, _), (other, _) = (trained(tokenizer, tmp_path, logs=logs) for logs in (True, False))
    for mine, theirs in zip(one.model.parameters(), other.model.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_another_model_and_no_texts_are_refused(tokenizer: PreTrainedTokenizerFast, reader: normlens.Lens) -> None:
    log = AttentionLog(reader, TEXTS, lambda numbers: None)
    with pytest.raises(
        InvalidInput, match=r"trains another model \(BertForSequenceClassification\) than the lens is on"
    ):
        log.on_evaluate(None, None, None, model=BertForSequenceClassification(tiny.configuration("bert")))
    with pytest.raises(InvalidInput, match="texts is empty"):
        AttentionLog(reader, [], print)
