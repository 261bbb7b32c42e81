"""``python -m reproduce``: every study is listed, has a module, and says what it takes."""

from importlib.util import find_spec

import pytest

from reproduce.__main__ import STUDIES, main


def test_all_studies_are_listed_with_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()[2:]
    assert [line.split()[0] for line in lines] == list(STUDIES)
    assert all(len(line.split()) > 4 for line in lines)


@pytest.mark.parametrize("study", STUDIES)
def test_every_study_has_a_module(study: str) -> None:
    assert find_spec(STUDIES[study]) is not None


def test_a_study_gets_the_rest_of_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["special-tokens", "--help"])
    assert stop.value.code == 0
    assert "--resamples" in capsys.readouterr().out


def test_an_unknown_study_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["magic"]) == 2
    assert "expected one of special-tokens" in capsys.readouterr().err
