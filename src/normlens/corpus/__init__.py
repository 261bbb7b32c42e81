"""Anything over a corpus, on one machine or on many, so that a killed run goes on and gives the same bytes.

`plan` fixes what is computed, `run` computes it shard by shard, `status` says how far it is, `finalize` gathers results and
statistics, `export` writes them in other formats.
"""

from typing import TYPE_CHECKING

from normlens.lazily import attribute_of

if TYPE_CHECKING:
    from normlens.corpus.align_job import AlignJob
    from normlens.corpus.commits import ResultsNotWritten
    from normlens.corpus.exporting import export
    from normlens.corpus.finalized import finalize
    from normlens.corpus.job_kinds import AnalyzeJob, AttributeJob
    from normlens.corpus.planning import plan
    from normlens.corpus.run_plan import CorpusPlan, Shard
    from normlens.corpus.run_status import RunStatus, status
    from normlens.corpus.runs import RunReport, run

__all__ = [
    "AlignJob",
    "AnalyzeJob",
    "AttributeJob",
    "CorpusPlan",
    "ResultsNotWritten",
    "RunReport",
    "RunStatus",
    "Shard",
    "export",
    "finalize",
    "plan",
    "run",
    "status",
]
_HOMES = {
    "AlignJob": "normlens.corpus.align_job",
    "ResultsNotWritten": "normlens.corpus.commits",
    "export": "normlens.corpus.exporting",
    "finalize": "normlens.corpus.finalized",
    "AnalyzeJob": "normlens.corpus.job_kinds",
    "AttributeJob": "normlens.corpus.job_kinds",
    "plan": "normlens.corpus.planning",
    "CorpusPlan": "normlens.corpus.run_plan",
    "Shard": "normlens.corpus.run_plan",
    "RunStatus": "normlens.corpus.run_status",
    "status": "normlens.corpus.run_status",
    "RunReport": "normlens.corpus.runs",
    "run": "normlens.corpus.runs",
}
__getattr__ = attribute_of(__name__, _HOMES)
