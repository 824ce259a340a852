"""Tests of the signing core, against the official clients and their recorded answers."""
