"""Ticks in, decisions out: the port, the strategies behind it, backtest and paper mode."""
