"""The cost of the analysis, measured side by side with its alternatives: see ``docs/benchmarks.md``."""
