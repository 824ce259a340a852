"""Tests of the record's arithmetic against an oracle in fractions."""
