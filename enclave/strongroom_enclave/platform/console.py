"""The console, which a debug image shows to its host: one line when a boot ends.

Nothing else in the image writes text. The line is made of our own fixed words and names of classes,
never of an exception's text, which could quote a value.
"""

import sys


def halted(reason: str) -> None:
    """Says why this boot is over."""
    sys.stderr.write(f"halted: {reason}\n")
