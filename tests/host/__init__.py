"""Tests of the untrusted host side."""
