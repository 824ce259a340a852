"""Tests of the tick ring."""
