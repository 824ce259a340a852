"""Runs the record as a process; the supervisor appends the arguments."""

import sys

from strongroom_enclave.record.service import main

main(sys.argv[1:])
