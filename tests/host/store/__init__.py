"""Tests of strongroom_host.store."""
