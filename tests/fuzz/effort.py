"""How many examples a fuzz target tries: a few hundred in `make test`, 5,000 and up in a soak."""

from hypothesis import settings

__all__ = ["examples"]


def examples(times: int) -> settings:
    """Return the current profile (`tests/conftest.py` picks it) with this many times its count."""
    profile = settings.get_profile(settings.get_current_profile_name())
    return settings(profile, max_examples=times * profile.max_examples)
