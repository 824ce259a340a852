"""Runs the signer as a process; the supervisor appends the arguments."""

import sys

from strongroom_enclave.signer.service import main

main(sys.argv[1:])
