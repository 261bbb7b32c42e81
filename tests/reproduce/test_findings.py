"""What the scripts take from one analyzed sentence, against answers by hand; and one script run for real."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from reproduce.norms import dispersion as dispersion
from reproduce.norms import frequency as frequency
from reproduce.norms import mixing_ratio as mixing_ratio
from reproduce.norms import special_tokens as special_tokens
from reproduce.study import run as finding
from reproduce.study.page import markdown_table
from reproduce.study.run import reproduce

TOKENS = {"encoder": ["[CLS]", "Yes", ",", "we", ".", "[SEP]"], "decoder": ["Yes", ",", "we", "."]}


def sentence(kind: str) -> xr.Dataset:
    """One layer, two heads; α is uniform over the sources, ‖f(x)‖ is 1, 2, 3 … in both heads."""
    tokens = TOKENS[kind]
    n = len(tokens)
    category = ["special" if t[0] == "[" else "punctuation" if t in ",." else "other" for t in tokens]
    weight = np.full((1, 2, n, n), 1 / n)
    vector_norm = np.broadcast_to(np.arange(1.0, n + 1), (1, 2, n))
    return xr.Dataset(
        {
            "weight": (("layer", "head", "target", "source"), weight),
            "vector_norm": (("layer", "head", "source"), vector_norm),
            "norm": (("layer", "target", "source"), np.broadcast_to(np.arange(n, 0.0, -1), (1, n, n))),
            "mixing_ratio": (("scope", "layer", "target"), np.full((1, 1, n), 0.5)),
            "mixing_ratio_weight": (("scope", "layer", "target"), np.full((1, 1, n), 0.8)),
        },
        {"scope": ["attention"], "source_token": ("source", tokens), "source_category": ("source", category)},
    )


def test_categories_of_an_encoder_share_the_sources_out() -> None:
    masks = special_tokens.categories(sentence("encoder"))
    assert {name: np.flatnonzero(mask).tolist() for name, mask in masks.items()} == {
        "[CLS]": [0],
        "[SEP]": [5],
        "period and comma": [2, 4],
        "other": [1, 3],
    }


def test_a_decoder_without_special_tokens_has_its_first_token_apart() -> None:
    masks = special_tokens.categories(sentence("decoder"))
    assert {name: np.flatnonzero(mask).tolist() for name, mask in masks.items()} == {
        "first token": [0],
        "period and comma": [1, 3],
        "other": [2],
    }


def test_shares_of_uniform_weights_and_rising_norms() -> None:
    data = sentence("encoder")
    numbers = special_tokens.sentence_numbers(data, special_tokens.categories(data))
    assert numbers["weight_share", "[SEP]"] == pytest.approx([1 / 6])
    assert numbers["weighted_norm_share", "[SEP]"] == pytest.approx([6 / 21])
    assert numbers["norm_share", "[SEP]"] == pytest.approx([1 / 21])
    assert numbers["weighted_norm", "period and comma"] == pytest.approx([(3 + 5) / 6])
    assert numbers["vector_norm", "period and comma"] == pytest.approx([4.0])


def test_an_empty_category_has_share_zero_and_no_vector_norm() -> None:
    data = sentence("encoder")
    numbers = special_tokens.sentence_numbers(data, {"none": np.zeros(6, dtype=bool)})
    assert numbers["weight_share", "none"].tolist() == [0.0]
    assert np.isnan(numbers["vector_norm", "none"]).all()


def test_dispersion_leaves_special_and_first_tokens_out_where_it_says_so() -> None:
    assert dispersion.ordinary_sources(sentence("encoder")).tolist() == [False, True, True, True, True, False]
    assert dispersion.ordinary_sources(sentence("decoder")).tolist() == [False, True, True, True]
    numbers = dispersion.sentence_numbers(sentence("decoder"))
    assert numbers["variation_in_sentence", "all"] == pytest.approx([np.std([1, 2, 3, 4]) / 2.5])
    assert numbers["variation_in_sentence", "ordinary"] == pytest.approx([np.std([2, 3, 4]) / 3])


def test_token_numbers_have_the_order_of_the_quantities_and_absent_scopes_are_nan() -> None:
    numbers = dict(zip(frequency.QUANTITIES, frequency.token_numbers(sentence("decoder")), strict=True))
    assert numbers["α"] == pytest.approx([0.25] * 4)
    assert numbers["‖f(x)‖"] == pytest.approx([1, 2, 3, 4])
    assert numbers["Attn-W"] == pytest.approx([0.8] * 4)
    assert numbers["Attn-N"] == pytest.approx([0.5] * 4)
    assert np.isnan(numbers["AttnRes-N"]).all()


def test_markdown_table() -> None:
    assert markdown_table([["x", "1"]], ["a", "b"]) == "| a | b |\n| --- | ---: |\n| x | 1 |"


@pytest.mark.real_model
def test_a_run_keeps_numbers_page_and_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("The bank raised its rates.\nNobody had expected it, they said.\n")
    arguments = [
        "--models",
        "minilm-l6",
        "--corpus",
        str(corpus),
        "--output",
        str(tmp_path / "out"),
        "--resamples",
        "9",
    ]
    assert reproduce(mixing_ratio.FINDING, arguments) == 0
    assert "| AttnRes-N | 22.3 % | 19.6 % |" in capsys.readouterr().out
    kept = json.loads((tmp_path / "out" / "mixing_ratio" / "result.json").read_text(encoding="utf-8"))
    assert kept["minilm-l6"]["sentences"] == 2
    assert kept["minilm-l6"]["tokens"] == 8 + 10
    assert kept["minilm-l6"]["conservation_error"] < 1e-5
    files = {path.name for path in (tmp_path / "out" / "mixing_ratio").iterdir()}
    assert files == {"result.json", "page.md", "mixing_ratio.svg", "minilm-l6.svg"}


def test_a_missing_corpus_ends_with_a_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "none.txt"
    assert reproduce(mixing_ratio.FINDING, ["--corpus", str(missing), "--output", str(tmp_path)]) == 2
    assert "none.txt" in capsys.readouterr().err


def test_a_hub_model_out_of_reach_is_named_and_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise ConnectionError

    monkeypatch.setattr(finding.HfApi, "model_info", unreachable)
    monkeypatch.setattr(finding, "available_models", list)
    assert reproduce(mixing_ratio.FINDING, ["--models", finding.BERT, "--output", str(tmp_path)]) == 2
    assert f"{finding.BERT}: its numbers need a network" in capsys.readouterr().err
