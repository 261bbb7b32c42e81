"""The report over a corpus: one page that answers in words first, with figures, tables and every number as Parquet.

:func:`measure` sends the texts through a lens, :func:`write_report` writes what they gave, and :func:`read_estimates`
reads the numbers of a report back.
"""

from normlens.report.corpus import Measured, Text, measure, token_frequency
from normlens.report.estimates import Estimate, Estimates, read_estimates
from normlens.report.findings import findings
from normlens.report.placing import HTML, files_of_report, refuse_to_overwrite
from normlens.report.writing import write_report

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
