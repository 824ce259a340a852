"""Tests of the local platform: the software NSM is compared with models and with a verifier."""
