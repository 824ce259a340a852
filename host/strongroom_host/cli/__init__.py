"""The `strongroom` command: one module per group of commands."""
