"""Tests of strongroom_enclave."""
