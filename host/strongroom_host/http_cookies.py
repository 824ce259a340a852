"""No cookies: what a stranger's server sets is never sent back, nor looked at.

httpx keeps cookies, and fails over one that is not ASCII with an error of no class of its own.
"""

from http.cookiejar import CookieJar, DefaultCookiePolicy

__all__ = ["no_cookies"]


def no_cookies() -> CookieJar:
    """A jar that takes none."""
    return CookieJar(DefaultCookiePolicy(allowed_domains=()))
