"""Compiles Python sources to bytecode, each in a process of its own; run inside the toolchain.

A child is forked for each file from a parent that has compiled nothing, so what marshal writes for
one file cannot depend on what was compiled before it. Under /work: `list`, the paths in the image,
each ended by a NUL; `in/0`, `in/1`, ... the sources in that order; `out` receives the bytecode.

Only the standard library: the toolchain has nothing else.
"""

import os
import py_compile
import sys
from pathlib import Path

__all__ = ["main"]


def main(work: Path) -> None:
    """Compiles everything that is listed, or exits with a message."""
    if sys.flags.hash_randomization:
        sys.exit("the hash seed is random: bytecode would differ from run to run")
    listed = (work / "list").read_text(encoding="utf-8").split("\0")[:-1]
    for number, path in enumerate(listed):
        child = os.fork()
        if child == 0:
            _compile_and_exit(work, number, path)
        _, status = os.waitpid(child, 0)
        if status:
            sys.exit(f"/{path} cannot be compiled")


def _compile_and_exit(work: Path, number: int, path: str) -> None:
    status = 1
    try:
        py_compile.compile(
            str(work / "in" / str(number)),
            cfile=str(work / "out" / str(number)),
            dfile=f"/{path}",
            doraise=True,
            optimize=0,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
        status = 0
    except (py_compile.PyCompileError, OSError) as error:
        sys.stderr.write(f"/{path}: {error}\n")
        sys.stderr.flush()
    finally:
        os._exit(status)


if __name__ == "__main__":
    main(Path("/work"))
