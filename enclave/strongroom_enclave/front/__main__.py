"""Runs front as a process; the supervisor appends the arguments."""

import sys

from strongroom_enclave.front.service import main

main(sys.argv[1:])
