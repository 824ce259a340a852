"""What a reader of disclosed returns can infer of the positions behind them; README.md says how."""
