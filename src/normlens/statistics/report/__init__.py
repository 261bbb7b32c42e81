"""The report over a corpus: one page with findings in words, figures and tables, and all numbers as Parquet.

:func:`measure` sends the texts through a lens, :func:`write_report` writes the results, and :func:`read_estimates`
reads the numbers of a report back.
"""

from normlens.statistics.report.estimates import Estimate, Estimates, read_estimates
from normlens.statistics.report.findings import findings
from normlens.statistics.report.measured_corpus import Measured, Text, measure, token_frequency
from normlens.statistics.report.placing import HTML, files_of_report, refuse_to_overwrite
from normlens.statistics.report.writing import write_report

__all__ = [
    "HTML",
    "Estimate",
    "Estimates",
    "Measured",
    "Text",
    "files_of_report",
    "findings",
    "measure",
    "read_estimates",
    "refuse_to_overwrite",
    "token_frequency",
    "write_report",
]
