"""Runs one process of the enclave on the local platform: role, then the supervisor's arguments.

Outside the image for one reason: with `STRONGROOM_PURE` set it hides the compiled Keccak, so that
the pure-Python path of the same process is what runs.
"""

import os
import runpy
import sys

__all__ = ["hide_compiled"]


def hide_compiled() -> None:
    """Makes the compiled Keccak impossible to import, if `STRONGROOM_PURE` asks for that."""
    if os.environ.get("STRONGROOM_PURE") == "1":
        sys.modules["sha3"] = None  # type: ignore[assignment]


if __name__ == "__main__":
    hide_compiled()
    role = sys.argv.pop(1)
    runpy.run_module(f"strongroom_enclave.{role}", run_name="__main__", alter_sys=True)
