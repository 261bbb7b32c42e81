"""What a release says of itself in more than one place is the same."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from slow import SLOW

import normlens

ROOT = Path(__file__).parents[1]
EXTRAS = ("gguf", "vision", "adapters", "align", "translation", "view", "notebook", "compare", "ray")
"""Extras whose libraries the package imports."""


def test_the_citation_names_the_version_of_the_package() -> None:
    cited = re.search(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(), re.M)
    assert cited is not None and cited[1] == normlens.__version__


def test_every_import_is_a_dependency_and_every_dependency_is_used() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = (name for extra in EXTRAS for name in _names(project, extra))
    homes = packages_distributions()
    imported = {
        name.lower().replace("_", "-")
        for module in _imports() - set(sys.stdlib_module_names) - {"normlens"}
        for name in homes[module]
    }
    assert imported <= {*_names(project), *extras}
    through_others = {"h5netcdf"}  # xarray's engine
    assert set(_names(project)) <= imported | through_others


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_is_named_where_its_import_is_missing(extra: str) -> None:
    sources = "".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    assert f"install_command('{extra}')" in sources or f'install_command("{extra}")' in sources


def test_the_address_of_the_project_stands_in_one_place_and_is_set_before_release() -> None:
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"].values()
    host = urlsplit(next(iter(urls))).netloc
    folders = ("docs", "src", "reproduce", "benchmarks", ".github")
    files = [*ROOT.glob("*.*"), *(path for folder in folders for path in (ROOT / folder).rglob("*.*"))]
    pages = [path for path in files if path.suffix in (".md", ".cff", ".yml", ".py", ".jinja", ".js")]
    assert len(pages) > 100 and not [path for path in pages if host in path.read_text()]
    unreleased = "\n## Unreleased\n" in (ROOT / "CHANGELOG.md").read_text()
    assert unreleased or not host.endswith(".example"), "set [project.urls] before the release"


def test_the_tests_that_are_left_out_as_slow_are_there() -> None:
    for name in SLOW:
        file, _, test = name.partition("::")
        assert (ROOT / "tests" / file).exists()
        assert not test or f"def {test}(" in (ROOT / "tests" / file).read_text()


def _names(project: dict[str, object], extra: str = "") -> list[str]:
    groups = project["optional-dependencies"]
    assert isinstance(groups, dict)
    wanted = groups[extra] if extra else project["dependencies"]
    return [re.split(r"[^\w-]", requirement)[0] for requirement in wanted]


def _imports() -> set[str]:
    modules: set[str] = set()
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                modules.add(node.module.split(".")[0])
    return modules


def test_warnings_of_the_documentation_are_errors() -> None:
    """With ``--quiet``, mkdocs counts no warnings, and ``--strict`` lets them pass."""
    recipe = next(line for line in (ROOT / "Makefile").read_text().splitlines() if "mkdocs build" in line)
    assert "--strict" in recipe and "--quiet" not in recipe.partition("#")[0]
