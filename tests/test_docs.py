"""The code blocks of the README and the documentation run, page by page, from top to bottom; tutorials are code throughout.

A block that opens with ```{.python .no-run} is compiled only.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from matplotlib import pyplot

from normlens.loading.load import LoadedModel, load_model

ROOT = Path(__file__).parents[1]
TUTORIALS = [
    path.relative_to(ROOT) for path in [ROOT / "docs/gallery.py", *sorted((ROOT / "docs/tutorials").glob("*.py"))]
]
PAGES = sorted(path.relative_to(ROOT) for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]) + TUTORIALS
FENCE = re.compile(
    r"^(?P<indent> *)```(?:python|\{\.python(?P<options>[^}]*)\}) *\n(?P<code>.*?)^(?P=indent)``` *$", re.M | re.S
)


@dataclass(frozen=True)
class Block:
    """A code block: its text, the line of the page that it starts on, and whether it is to be run."""

    code: str
    line: int
    runs: bool


def code_blocks(text: str) -> list[Block]:
    if text.startswith("# ---\n# jupyter:"):
        return [Block(text, 1, True)]
    return [
        Block(
            code=re.sub(f"^{match['indent']}", "", match["code"], flags=re.M),
            line=text.count("\n", 0, match.start("code")) + 1,
            runs=".no-run" not in (match["options"] or ""),
        )
        for match in FENCE.finditer(text)
    ]


@pytest.fixture
def shared_smollm2(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """``normlens.load`` hands out the SmolLM2 that all tests share."""

    def load(source: Any, *args: Any, **options: Any) -> LoadedModel:
        shared: LoadedModel = request.getfixturevalue("smollm2") if source == "smollm2-135m" else None
        return shared or load_model(source, *args, **options)

    monkeypatch.setattr("normlens.front_door.load_model", load)


@pytest.mark.real_model
@pytest.mark.usefixtures("shared_smollm2")
@pytest.mark.parametrize("page", [page for page in PAGES if code_blocks((ROOT / page).read_text())], ids=str)
def test_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__main__"}
    for block in code_blocks((ROOT / page).read_text()):
        # Empty lines in front make a traceback point to the line of the page.
        compiled = compile("\n" * (block.line - 1) + block.code, str(ROOT / page), "exec")
        if block.runs:
            exec(compiled, namespace)
    pyplot.close("all")


def test_blocks_are_found_with_their_lines() -> None:
    page = "# Title\n\n```python\na = 1\n```\n\n```bash\nls\n```\n\n-   ```{.python .no-run}\n    b\n    ```\n"
    page += "\n    ```python\n    c = (\n        2)\n    ```\n"
    assert code_blocks(page) == [Block("a = 1\n", 4, True), Block("c = (\n    2)\n", 16, True)]
    assert code_blocks("```{.python .no-run}\nb\n```\n") == [Block("b\n", 2, False)]
