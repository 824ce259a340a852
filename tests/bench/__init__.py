"""Benchmarks: each module's `rows()` measures one thing beside its peers, in one run."""
