"""Tests of strongroom_host.testnet."""
