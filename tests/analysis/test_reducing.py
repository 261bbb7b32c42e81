"""Reductions: the same sums as over the whole maps, whether or not these are ever made."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from architectures import tiny
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

import normlens
from normlens.analysis import Group
from normlens.analysis.reductions import REDUCTIONS, named_reduction
from normlens.errors import InvalidInput

TEXT = "the unhappiness, here. the cat sat, the dog ran"
LONG = ("weight", "norm", "norm_residual", "norm_layernorm")


@pytest.fixture(scope="module")
def whole(reader: normlens.Lens) -> Group:
    return reader.analyze(TEXT)["encoder"]


@pytest.fixture(scope="module", params=[None, 1, 4], ids=["at once", "one target", "four targets"])
def chunk_size(request: pytest.FixtureRequest) -> int | None:
    return request.param


def reduced(reader: normlens.Lens, how: object, chunk_size: int | None) -> xr.Dataset:
    return reader.analyze(TEXT, reduce=how, chunk_size=chunk_size)["encoder"].data


def close(measured: xr.DataArray, expected: xr.DataArray) -> bool:
    return np.allclose(measured.transpose(*expected.dims).values, expected.values, atol=2e-5)


def by_hand(whole: xr.Dataset, name: str) -> dict[str, xr.DataArray]:
    """Sums of a map over the sources of each category, as docs/concepts.md defines them."""
    categories, position = whole["source_category"].values, np.arange(whole.sizes["source"])
    chosen = {
        "special": categories == "special",
        "first token": position == 0,
        "punctuation": (categories == "punctuation") & (position > 0),
        "other": (categories == "other") & (position > 0),
    }
    return {category: whole[name].isel(source=np.flatnonzero(here)).sum("source") for category, here in chosen.items()}


def test_category_sums(reader: normlens.Lens, whole: Group, chunk_size: int | None) -> None:
    data = reduced(reader, "categories", chunk_size)
    for name in LONG:
        for category, expected in by_hand(whole.data, name).items():
            assert close(data[f"{name}_sum"].sel(category=category), expected), (name, category)
        assert close(data[f"{name}_total"], whole.data[name].sum("source"))
    assert float(data["weight_sum"].sel(category="first token").min()) > 0  # [CLS]
    assert not set(LONG) & set(data.data_vars)
    assert "source" not in data.dims


def wordy(*specials: str, frame: str) -> PreTrainedTokenizerFast:
    """A tokenizer of words and marks whose texts stand in a frame, such as "<s> $A"."""
    names = [*specials, "<pad>", "<unk>", "the", "cat", "sat", "dog", ".", ","]
    core = Tokenizer(WordLevel({name: k for k, name in enumerate(names)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()])
    core.post_processor = TemplateProcessing(single=frame, special_tokens=[(s, names.index(s)) for s in specials])
    marks = {"additional_special_tokens": list(specials)} if specials else {}
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", unk_token="<unk>", **marks)


FRAMES = {
    "bert": wordy("[CLS]", "[SEP]", frame="[CLS] $A [SEP]"),
    "gpt2": wordy(frame="$A"),
    "llama": wordy("<s>", frame="<s> $A"),
}


@pytest.mark.parametrize("padding", ["left", "right"])
@pytest.mark.parametrize("model_type", sorted(FRAMES))
def test_categories_are_those_of_whole_maps_wherever_the_padding_is(model_type: str, padding: str) -> None:
    lens = normlens.load((tiny.build(model_type), FRAMES[model_type]))
    texts = [". the cat sat, the dog sat.", "the cat", ", the dog sat"]
    options = {"padding": padding, "progress": False, "batch_size": 3}
    for text, analysis in zip(texts, lens.analyze(texts, reduce="categories", **options), strict=True):
        (group,) = analysis.groups
        whole = lens.analyze(text)[group].data
        assert whole["source_token"].values[0] == {"bert": "[CLS]", "gpt2": text.split()[0], "llama": "<s>"}[model_type]
        for name in (name for name in LONG if name in whole):
            for category, expected in by_hand(whole, name).items():
                assert close(analysis[group].data[f"{name}_sum"].sel(category=category), expected), (name, category)
        assert analysis[group].data["weight_sum"].sel(category="first token").min() > 0


def test_what_the_first_token_gets(reader: normlens.Lens, whole: Group, chunk_size: int | None) -> None:
    data = reduced(reader, "sinks", chunk_size)
    for name in LONG:
        assert close(data[f"{name}_first"], whole.data[name].isel(source=0))
        assert close(data[f"{name}_total"], whole.data[name].sum("source"))
    assert "source" not in data.dims


def test_strongest_edges(reader: normlens.Lens, whole: Group, chunk_size: int | None) -> None:
    data = reduced(reader, "edges", chunk_size)
    n = whole.data.sizes["source"]
    for name, values in {"norm": whole.norm, "weight": whole.weight.mean("head")}.items():
        ranked = -np.sort(-values.values, axis=-1)[..., :10]
        assert n > 10 and np.allclose(data[f"{name}_edge"].values, ranked, atol=2e-5)
        where = data[f"{name}_edge_source"].values.astype(int)
        assert np.allclose(np.take_along_axis(values.values, where, -1), ranked, atol=2e-5)
    assert data.sizes["rank"] == 10 and "source" not in data.dims


def test_mean_maps(reader: normlens.Lens, whole: Group, chunk_size: int | None) -> None:
    data = reduced(reader, "mean", chunk_size)
    assert close(data["weight_mean"], whole.weight.mean("head"))
    assert close(data["norm"], whole.norm) and close(data["norm_layernorm"], whole.norm_layernorm)
    assert "head" not in data.dims


@pytest.mark.parametrize("how", sorted(REDUCTIONS))
def test_what_belongs_to_a_target_is_kept(
    how: str, reader: normlens.Lens, whole: Group, chunk_size: int | None
) -> None:
    data = reduced(reader, how, chunk_size)
    assert close(data["mixing_ratio"], whole.mixing_ratio.transpose(*data["mixing_ratio"].dims))
    assert float(data["conservation_error"].max()) <= 1e-5
    for name in ("target_token", "target_word", "target_category", "layer_path"):
        assert data[name].values.tolist() == whole.data[name].values.tolist()
    assert data["layer"].values.tolist() == [0, 1, 2]


def test_the_caller_s_own_function(reader: normlens.Lens, whole: Group, chunk_size: int | None) -> None:
    def previous(data: xr.Dataset) -> xr.Dataset:
        before = np.maximum(data["target"].values - 1, 0)
        return xr.Dataset({"previous": data["weight"].isel(source=xr.DataArray(before, dims="target"))})

    data = reduced(reader, previous, chunk_size)
    expected = np.stack([whole.weight.values[..., i, max(i - 1, 0)] for i in range(whole.data.sizes["target"])], -1)
    measured = data["previous"].transpose("layer", "head", "target").values
    assert np.allclose(measured, expected, atol=2e-5)


def test_a_number_without_a_target_is_refused(reader: normlens.Lens) -> None:
    with pytest.raises(InvalidInput, match=r"'largest'.*expected 'target' among them"):
        reader.analyze(TEXT, reduce=lambda data: data[["norm"]].assign(largest=data["norm"].max()))


def test_a_padded_batch_is_reduced_text_by_text(reader: normlens.Lens) -> None:
    texts = [TEXT, "the cat sat", "here, here."]
    for how in sorted(REDUCTIONS):
        for text, analysis in zip(texts, reader.analyze(texts, reduce=how, progress=False), strict=True):
            alone = reader.analyze(text, reduce=how)["encoder"].data
            xr.testing.assert_allclose(alone, analysis["encoder"].data, atol=2e-5)


def test_only_reductions_are_taken() -> None:
    assert named_reduction(None) is None
    with pytest.raises(InvalidInput, match="'categories', 'sinks', 'edges', 'mean'"):
        named_reduction("maximum")
    with pytest.raises(InvalidInput, match="with all 3 targets"):
        checked = named_reduction(lambda data: data.isel(target=[0]))
        assert checked is not None
        checked(xr.Dataset({"weight": ("target", [1.0, 2.0, 3.0])}))
