"""Runs one enrolment as a process; the supervisor appends the arguments."""

import sys

from strongroom_enclave.enroll.service import main

main(sys.argv[1:])
