"""HTTP GET with limits, for health checks."""

import http.client
import urllib.error
import urllib.request


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object, **__: object) -> None:
        """Follow nothing: a redirect is an answer."""


_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects())


def status(url: str, *, timeout: float) -> int | None:
    """Return the status code, or None when nothing answered within `timeout` seconds.

    Redirects are not followed, and the body is not read.
    """
    try:
        with _OPENER.open(url, timeout=timeout) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except (OSError, http.client.HTTPException):
        return None
