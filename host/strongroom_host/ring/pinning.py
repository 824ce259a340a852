"""Keeping a process on one processor, where its caches stay warm."""

import os
import sys

from strongroom_host.errors import BadInput

__all__ = ["pin"]


def pin(cpu: int) -> str:
    """Keeps this thread, and what it starts, on one processor.

    Returns:
        Nothing (an empty string) if it is done; else why it could not be, in a sentence for people.
        A process runs without it, only less evenly.

    Raises:
        BadInput: the machine has no such processor.
    """
    total = os.cpu_count() or 1
    if not 0 <= cpu < total:
        raise BadInput(
            f"there is no processor {cpu}",
            expected=f"0 to {total - 1}",
            remedy="`nproc` counts them",
        )
    if sys.platform != "linux":
        return f"this system cannot keep a process on processor {cpu}: it runs where it is put"
    try:
        os.sched_setaffinity(0, {cpu})
    except OSError as error:
        allowed = ", ".join(map(str, sorted(os.sched_getaffinity(0))))
        return (
            f"this process may not be kept on processor {cpu} ({error.strerror}); it may run on"
            f" {allowed}: the container's or the service's set of processors decides"
        )
    return ""
