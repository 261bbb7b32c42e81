"""What a release says of itself in more than one place is the same."""

import re
from pathlib import Path

import normlens

ROOT = Path(__file__).parents[1]


def test_the_citation_names_the_version_of_the_package() -> None:
    cited = re.search(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(), re.M)
    assert cited is not None and cited[1] == normlens.__version__
