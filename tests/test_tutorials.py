"""The docs run their tutorials and refuse what a reader would stumble over; docstrings show no markup of Sphinx."""

import sys
from pathlib import Path
from typing import Any

import pytest
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs" / "hooks"))

tutorials: Any = __import__("tutorials")
roles: Any = __import__("roles")

PICTURE = "from IPython.display import SVG\nSVG('<svg xmlns=\"http://www.w3.org/2000/svg\"></svg>')"


def test_a_tutorial_becomes_a_page_with_outputs_pictures_and_a_notebook(tmp_path: Path) -> None:
    cells = [
        new_markdown_cell("# Half\n\nHalf of it is 0.50."),
        new_code_cell("print(f'{1 / 2:.2f}')\n'a value'"),
        new_code_cell(PICTURE, metadata={"alt": "An empty picture"}),
    ]
    files = tutorials.files_of(tutorials.run(new_notebook(cells=cells), tmp_path), "half")
    assert set(files) == {"half.md", "half.ipynb", "half_files/half_2_0.svg"}
    page = files["half.md"]
    assert "```{.text .printed}\n0.50\n```\n" in page and "```{.text .printed}\n'a value'\n```\n" in page
    assert "```python\nprint(f'{1 / 2:.2f}')\n'a value'\n```\n" in page
    assert "![An empty picture](half_files/half_2_0.svg)" in page and "(half.ipynb)" in page


@pytest.mark.parametrize(
    "cells, said",
    [
        ([new_code_cell("1 / 0")], "ZeroDivisionError"),
        ([new_code_cell("import warnings\nwarnings.warn('old')")], "a cell warns"),
        ([new_code_cell(PICTURE)], "a picture has no description"),
        ([new_markdown_cell("It holds 5.09."), new_code_cell("print(5.08)")], "no cell prints 5.09"),
        ([new_markdown_cell("60 % of the weight."), new_code_cell("print('6 %')")], "no cell prints 60"),
    ],
)
def test_a_tutorial_is_refused(cells: list[Any], said: str, tmp_path: Path) -> None:
    with pytest.raises((ValueError, CellExecutionError), match=said):
        tutorials.run(new_notebook(cells=cells), tmp_path)


def test_roles_of_sphinx_become_links() -> None:
    shown = roles.on_page_content(
        "As in :meth:<code>save</code> and :class:<code>~normlens.Lens</code>.", None, None, None
    )
    linked = '<autoref optional identifier="{}"><code>{}</code></autoref>'.format
    assert shown == f"As in {linked('save', 'save')} and {linked('normlens.Lens', 'Lens')}."
