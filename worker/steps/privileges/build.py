"""Every key of a service's `build`: what a build may do to the host that builds."""

from collections.abc import Iterator, Mapping
from os.path import normpath
from pathlib import Path
from typing import Any

from worker.steps.privileges.keys import Reaches, listed, shown

GUARDED = frozenset(
    [
        "additional_contexts",
        "cache_from",
        "cache_to",
        "context",
        "dockerfile",
        "entitlements",
        "network",
        "privileged",
        "ssh",
        "tags",
    ]
)
HARMLESS = frozenset(
    [
        "args",
        "dockerfile_inline",
        "extra_hosts",
        "isolation",
        "labels",
        "no_cache",
        "platforms",
        "provenance",
        "pull",
        "sbom",
        "secrets",
        "shm_size",
        "target",
        "ulimits",
    ]
)


def privileges(build: Mapping[str, Any], outside: Reaches) -> Iterator[str]:
    """Yield what a build may do beyond turning the checkout into an image."""
    if str(build.get("privileged")).lower() == "true":
        yield "is built with all privileges"
    if build.get("network") not in (None, "default", "none"):
        yield f"is built in the network of {build['network']}"
    for key, phrase in (
        ("entitlements", "is built with the entitlement"),
        ("ssh", "is built with the host's SSH key"),
        ("tags", "also names its image"),
    ):
        for one in listed(build.get(key) or []):
            yield f"{phrase} {shown(one)}"
    for key in ("cache_from", "cache_to"):
        for one in build.get(key) or ():
            if "type=local" in one.replace(" ", ""):
                yield f"uses a folder of the host in its build: {key} {one}"
    yield from _sources(build, outside)


def _sources(build: Mapping[str, Any], outside: Reaches) -> Iterator[str]:
    """Yield what is built from elsewhere. What is ours is not in the exported revision."""
    contexts = [str(build.get("context") or ""), *_named(build.get("additional_contexts") or {})]
    for one in contexts:
        if one.startswith("/") and (real := outside(one)):
            yield f"is built from {real}"
        elif _is_elsewhere(one):
            yield f"is built from {one}"
    dockerfile = str(build.get("dockerfile") or "")
    whole = str(Path(contexts[0]) / dockerfile)  # read from the context, but not held in it
    leaves = whole.startswith("/") and (outside(whole) or outside(normpath(whole)))
    if dockerfile and (leaves or "://" in dockerfile):
        yield f"is built by the file {dockerfile}"


def _is_elsewhere(context: str) -> bool:
    """Whether a context is another repository, say: Compose writes a folder's path whole.

    It knows addresses without a scheme, too: `git@host:…` and `github.com/…`.
    """
    known = ("/", "docker-image://", "service:")
    return bool(context) and not context.startswith(known)


def _named(contexts: Any) -> list[str]:
    """Return the contexts' values, of a mapping or of `name=value`."""
    if isinstance(contexts, Mapping):
        return [str(one) for one in contexts.values()]
    return [str(one).partition("=")[2] for one in contexts]
