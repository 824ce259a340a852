"""Tests of the platform port: the NSM, its transports, and hardening."""
