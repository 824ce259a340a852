"""Tests of strongroom_host.venue."""
