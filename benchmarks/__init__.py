"""The cost of the analysis, compared with its alternatives: see ``docs/benchmarks.md``."""
