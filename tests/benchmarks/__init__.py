"""What a run costs, beside its peers on the same work: `python -m tests.benchmarks`; see docs/performance.md."""
