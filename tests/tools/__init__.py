"""The project's own tools: environment, benchmarks, locks."""
