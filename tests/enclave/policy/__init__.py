"""Tests of the policy engine and its clock."""
