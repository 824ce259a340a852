"""Tests of strongroom_host.egress."""
