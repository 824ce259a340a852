"""Tests of strongroom_host.log.report."""
