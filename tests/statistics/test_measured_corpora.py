"""A corpus through a lens: its numbers are those of its texts, and what is no corpus is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from transformers import PreTrainedTokenizerFast

import normlens
from normlens.errors import InvalidInput
from normlens.statistics import CorpusStatistics
from normlens.statistics.report import measure, read_estimates, refuse_to_overwrite, token_frequency, write_report
from normlens.statistics.report import writing as report_writing

TEXTS = ["the cat sat here.", "the dog ran.", "a cat is a cat.", "the dogs sat here, a dog ran here."]


def test_the_numbers_are_those_of_the_texts_one_by_one(reader: normlens.Lens) -> None:
    measured = measure(reader, TEXTS, batch_size=3)
    expected = CorpusStatistics(token_frequency(reader, TEXTS))
    for text in TEXTS:
        expected.add(reader.analyze(text)["encoder"].data)
    table, wanted = measured.statistics["encoder"].table(), expected.table()
    table, wanted = (x[x.quantity != "conservation_error"].reset_index(drop=True) for x in (table, wanted))
    pd.testing.assert_frame_equal(table, wanted, check_exact=False, atol=1e-5)
    assert len(measured) == 4
    assert [data.sizes["source"] for data in measured.examples["encoder"]] == [7, 6]
    assert (measured.attributes["model_type"], "text" in measured.attributes) == ("bert", False)


def test_tokens_are_counted_over_texts_and_targets(reader: normlens.Lens, tokenizer: PreTrainedTokenizerFast) -> None:
    # [CLS] and [SEP] four times, "the" three times, "cat" twice, "dog" once
    ranks = token_frequency(reader, ["the cat", "the dog"], ["the", "cat"])
    ids = tokenizer.convert_tokens_to_ids(["[CLS]", "[SEP]", "the", "cat", "dog", "a"])
    assert ranks.ranks(ids).tolist() == pytest.approx([1, 1, 3, 4, 5, np.nan], nan_ok=True)


def test_progress_sees_every_analysis_and_their_number(reader: normlens.Lens) -> None:
    seen: list[str] = []

    def progress(analyses: Iterable[normlens.Analysis], total: int) -> Iterator[normlens.Analysis]:
        assert total == 4
        for analysis in analyses:
            seen.append(analysis.attrs["text"])
            yield analysis

    measure(reader, TEXTS, progress=progress)
    assert seen == TEXTS


def test_what_was_written_is_read_back(reader: normlens.Lens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_writing, "report_figures", lambda table: {})
    measured = measure(reader, TEXTS)
    folder = write_report(measured.statistics, tmp_path / "report", title="a", attributes=measured.attributes)
    refuse_to_overwrite(folder)
    numbers = read_estimates(folder)
    assert list(numbers) == ["encoder"]
    table = measured.statistics["encoder"].table()
    wanted = table[(table.quantity == "weight_share") & (table.category == "special") & table.layer.isna()]
    estimate = numbers["encoder"].get("weight_share", "special")
    assert estimate is not None
    assert estimate.value == wanted["value"].item()
    with pytest.raises(InvalidInput, match="has no report"):
        read_estimates(tmp_path)


def test_what_is_no_corpus_is_refused(reader: normlens.Lens, lens_of: Callable[[str], normlens.Lens]) -> None:
    with pytest.raises(InvalidInput, match="has no text"):
        measure(reader, [])
    with pytest.raises(InvalidInput, match="read only once"):
        measure(reader, iter(TEXTS))
    with pytest.raises(InvalidInput, match="4 texts, but 1 targets"):
        measure(reader, TEXTS, ["one"])
    with pytest.raises(InvalidInput, match="it has encoder"):
        measure(reader, TEXTS, group="cross")
    with pytest.raises(InvalidInput, match="has no tokenizer"):
        measure(lens_of("bert"), TEXTS)


def test_a_file_or_another_folder_is_no_place_for_a_report(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InvalidInput, match="not empty and not a report"):
        refuse_to_overwrite(tmp_path)
    with pytest.raises(InvalidInput, match="is a file; expected"):
        refuse_to_overwrite(tmp_path / "thesis.tex")
    refuse_to_overwrite(tmp_path / "new")
