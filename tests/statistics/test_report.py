"""The report: what it says, that it is complete in itself, and that nothing half-written stays behind."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from normlens.errors import InvalidInput, NormLensError
from normlens.statistics import COLUMNS, CorpusStatistics
from normlens.statistics.report import write_report, writing
from normlens.statistics.report.estimates import Estimate, Estimates
from normlens.statistics.report.findings import findings, widest_gap
from normlens.statistics.report.tables import tables

ATTRIBUTES = {"model": "a|b <tiny>", "dtype": "float32"}


def collected(texts=2, special="special"):
    """Two layers, two heads, three tokens, random but for the weight to the first: a half in layer 0, 0.8 in layer 1."""
    generator = np.random.default_rng(0)
    statistics = CorpusStatistics()
    for _ in range(texts):
        weight = np.zeros((2, 2, 3, 3))
        weight[0], weight[1] = [0.5, 0.25, 0.25], [0.8, 0.1, 0.1]
        category = [special, "other", "punctuation"]
        coords = {"layer": [0, 1], "head": [0, 1], "target": range(3), "source": range(3), "scope": ["attention"]}
        coords |= {f"{side}_category": (side, category) for side in ("source", "target")}
        coords |= {f"{side}_token": (side, ["[CLS]", "word", "."]) for side in ("source", "target")}
        coords |= {f"{side}_id": (side, [1, 2, 3]) for side in ("source", "target")}
        data = xr.Dataset(
            {
                "weight": (("layer", "head", "target", "source"), weight),
                "vector_norm": (("layer", "head", "source"), generator.uniform(1, 2, (2, 2, 3))),
                "norm": (("layer", "target", "source"), np.broadcast_to([1.0, 6.0, 3.0], (2, 3, 3))),
                "mixing_ratio": (("scope", "layer", "target"), generator.uniform(0, 1, (1, 2, 3))),
                "conservation_error": (("scope", "layer", "target"), np.full((1, 2, 3), 2e-7)),
            },
            coords,
        )
        statistics.add(data)
    return statistics, data


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    statistics, example = collected()
    place = tmp_path_factory.mktemp("reports") / "new" / "report"
    examples = {"encoder": [example]}
    return write_report({"encoder": statistics}, place, title="A & B", attributes=ATTRIBUTES, examples=examples)


def test_the_first_finding_answers_in_words():
    numbers = Estimates(collected()[0].table())
    first = findings(numbers)[0]
    # By weight (0.5 + 0.8) / 2, by norm 1 of 10; furthest apart in layer 1.
    assert first.startswith("Weights say 65 % (65–65) goes to special tokens; norms say 10 % (10–10).")
    assert first.endswith("They differ most in layer 1: 80 % (80–80) against 10 % (10–10).")
    assert widest_gap(numbers, "special") == 1


def test_a_corpus_without_special_tokens_starts_with_the_first_token():
    numbers = Estimates(collected(special="other")[0].table())
    assert findings(numbers)[0].startswith("Weights say 65 % (65–65) goes to the first token; norms say 10 %")
    assert "special" not in " ".join(tables(numbers)[0].headings)


@pytest.mark.parametrize(
    ("estimate", "percent", "number"),
    [
        (Estimate(0.384, 0.36, 0.41, 9), "38 % (36–41)", "0.38 (0.36 to 0.41)"),
        (Estimate(0.068, 0.061, 0.075, 9), "6.8 % (6.1–7.5)", "0.07 (0.06 to 0.07)"),
        (Estimate(0.839, 0.835, 0.843, 9), "83.9 % (83.5–84.3)", "0.84 (0.83 to 0.84)"),
        (Estimate(-0.42, np.nan, np.nan, 1), "−42 %", "−0.42"),
    ],
)
def test_estimates_are_rounded_as_far_as_their_interval_allows(estimate, percent, number):
    assert (estimate.percent(), estimate.number()) == (percent, number)


def test_a_correlation_whose_interval_holds_zero_claims_nothing():
    def sentence(value, low, high):
        row = ("correlation_weight_vector_norm", "all", None, None, value, low, high, 9)
        table = pd.DataFrame([row], columns=list(COLUMNS)).astype({"layer": "Int64", "head": "Int64"})
        return findings(Estimates(table))[0]

    assert "shorter" in sentence(-0.3, -0.4, -0.2)
    assert "longer" in sentence(0.3, 0.2, 0.4)
    assert "says little" in sentence(-0.1, -0.3, 0.1)


def test_a_table_has_a_row_for_each_layer_and_one_for_all():
    shares = tables(Estimates(collected()[0].table()))[0]
    assert [row[0] for row in shares.rows] == ["0", "1", "all"]
    column = shares.headings.index("special, by weight")
    assert [row[column] for row in shares.rows] == ["50 % (50–50)", "80 % (80–80)", "65 % (65–65)"]


def test_the_html_page_needs_no_other_file(report):
    page = (report / "report.html").read_text(encoding="utf-8")
    sources = re.findall(r'<img src="([^"]{30})', page)
    assert len(sources) == len(list((report / "figures").iterdir()))
    assert all(source.startswith("data:image/svg+xml;base64,") for source in sources)
    assert not re.search(r'(?:src|href)="(?!data:|#)', page)
    assert "<h1>A &amp; B</h1>" in page
    assert "a|b &lt;tiny&gt;" in page


def test_the_html_page_has_contents_whose_places_exist_and_a_dark_scheme(report):
    page = (report / "report.html").read_text(encoding="utf-8")
    places = re.findall(r'<a href="#([^"]+)"', page)
    assert places[-3:] == ["figures", "measured", "definitions"] and len(places) > 4
    assert all(page.count(f'id="{place}"') == 1 for place in places)
    assert "prefers-color-scheme: dark" in page


def test_an_interval_is_below_its_value_so_that_tables_fit_the_page(report):
    page = (report / "report.html").read_text(encoding="utf-8")
    assert re.search(r"<td>[\d.]+ %<small>\([\d.]+–[\d.]+\)</small></td>", page)
    assert not re.search(r"<td>[^<]*\(", page)
    assert '<div class="scroll"><table>' in page


def test_the_markdown_page_shows_figures_that_are_there(report):
    page = (report / "report.md").read_text(encoding="utf-8")
    paths = re.findall(r"\]\((figures/[^)]+)\)", page)
    assert "figures/encoder_share.svg" in paths
    assert any("example_1" in path for path in paths)
    assert all((report / path).is_file() for path in paths)
    assert r"| a\|b &lt;tiny> |" in page
    assert "| 2.0e-07 |" in page


def test_the_numbers_are_the_table(report):
    numbers = pd.read_parquet(report / "numbers.parquet")
    assert list(numbers.columns) == ["attention", *COLUMNS]
    assert set(numbers["attention"]) == {"encoder"}
    chosen = numbers[(numbers["quantity"] == "weight_share") & (numbers["category"] == "special")]
    chosen = chosen[(chosen["layer"] == 1) & (chosen["head"] == 0)]
    assert chosen["value"].item() == pytest.approx(0.8)
    assert numbers.attrs["model"] == "a|b <tiny>"


def test_examples_show_the_layer_where_weights_and_norms_differ_most():
    for special in ("special", "other"):  # a corpus without special tokens is asked about the first token
        statistics, example = collected(special=special)
        figures = writing._example_figures(Estimates(statistics.table()), [example])
        assert list(figures) == ["example_1_layer_1", "example_1_alpha_against_norm"]


def without_figures(monkeypatch):
    monkeypatch.setattr(writing, "report_figures", lambda table: {})


def test_an_older_report_is_replaced_and_anything_else_is_refused(tmp_path, monkeypatch):
    without_figures(monkeypatch)
    statistics = {"encoder": collected()[0]}
    for title in ("old", "new"):
        write_report(statistics, tmp_path / "report", title=title, attributes={})
    assert (tmp_path / "report" / "report.md").read_text(encoding="utf-8").startswith("# new\n")
    assert [path.name for path in tmp_path.iterdir()] == ["report"]
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.tex").write_text("years of work")
    with pytest.raises(InvalidInput, match="not a report"):
        write_report(statistics, precious, title="new", attributes={})
    assert [path.name for path in precious.iterdir()] == ["thesis.tex"]
    with pytest.raises(InvalidInput, match="no statistics"):
        write_report({}, tmp_path / "other", title="new", attributes={})


@pytest.mark.parametrize("stage", ["writing.write_atomically", "placing.os.rename"])
def test_a_full_disk_leaves_the_older_report_and_nothing_half_written(tmp_path, monkeypatch, stage):
    without_figures(monkeypatch)
    statistics = {"encoder": collected()[0]}
    write_report(statistics, tmp_path / "report", title="old", attributes={})

    def fill(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"normlens.statistics.report.{stage}", fill)
    with pytest.raises(NormLensError, match="No space left on device"):
        write_report(statistics, tmp_path / "report", title="new", attributes={})
    assert [path.name for path in tmp_path.iterdir()] == ["report"]
    assert not any(path.name.startswith(".") for path in (tmp_path / "report").iterdir())
    assert (tmp_path / "report" / "report.md").read_text(encoding="utf-8").startswith("# old\n")


def test_files_of_others_stay_beside_a_replaced_report(tmp_path, monkeypatch):
    without_figures(monkeypatch)
    statistics = {"encoder": collected()[0]}
    place = write_report(statistics, tmp_path / "report", title="old", attributes={})
    (place / "notes.md").write_text("mine")
    (tmp_path / "link").symlink_to(place)
    for folder in (place, tmp_path / "link"):
        write_report(statistics, folder, title=folder.name, attributes={})
        assert (place / "report.md").read_text(encoding="utf-8").startswith(f"# {folder.name}\n")
    assert (place / "notes.md").read_text() == "mine"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    write_report(statistics, ".", title="here", attributes={})
    assert {path.name for path in Path().iterdir()} == {"report.md", "report.html", "numbers.parquet"}


def test_each_attention_kind_has_its_part(tmp_path, monkeypatch):
    without_figures(monkeypatch)
    statistics = {"decoder": collected()[0], "cross": collected(3)[0]}
    place = write_report(statistics, tmp_path / "report", title="both", attributes={})
    page = (place / "report.md").read_text(encoding="utf-8")
    assert page.index("## Attention kind: decoder") < page.index("## Attention kind: cross")
    assert "| texts, cross | 3 |" in page
