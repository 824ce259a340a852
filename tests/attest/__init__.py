"""Tests of strongroom_attest."""
