"""The report over a corpus: one page that answers in words first, with figures, tables and every number as Parquet."""

from normlens.report.writing import write_report

__all__ = ["write_report"]
