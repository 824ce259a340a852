"""Tests of the public contract, `enclave/strongroom_wire`."""
