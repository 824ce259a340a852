"""Tests of the vsock backend; `driver` plays QEMU, `guest` plays Linux in it."""
