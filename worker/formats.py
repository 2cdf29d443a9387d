"""How values of `sheetanchor.toml` must look."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

BRANCH = re.compile(r"^(?!-)(?!.*\.\.)(?!.*//)[A-Za-z0-9._/-]+(?<!/)(?<!\.lock)$")
REPOSITORY = re.compile(r"^[A-Za-z0-9](?:[A-Za-z0-9-]*)/[A-Za-z0-9._-]+$")
APP_NAME = re.compile(r"^[a-z0-9][a-z0-9_-]{0,39}$")
PLACE = re.compile(r"^[A-Za-z0-9._-]+:/.+$")
BACKUP_ID = re.compile(r"^[0-9]{8}_[0-9]{6}(_[0-9]+)?$")
LISTEN = re.compile(r"^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):([0-9]{1,5})$")

Seconds = Annotated[float, Field(gt=0, le=86_400)]


def _below_the_checkout(paths: tuple[str, ...]) -> tuple[str, ...]:
    for path in paths:
        parts = Path(path).parts
        if not parts or Path(path).is_absolute() or ".." in parts or parts[0] == ".git":
            raise ValueError(f"{path!r} should be a path below the checkout")
    return paths


Inside = Annotated[tuple[str, ...], AfterValidator(_below_the_checkout)]


def _of_a_service(places: tuple[str, ...]) -> tuple[str, ...]:
    for place in places:
        if not PLACE.fullmatch(place):
            raise ValueError(f"{place!r} should be SERVICE:/PATH/IN/THE/CONTAINER")
    return tuple(place.rstrip("/") for place in places)


Places = Annotated[tuple[str, ...], AfterValidator(_of_a_service)]


def _web(address: str) -> str:
    if not re.fullmatch(r"https?://[^\s\x00-\x1f/?#@]+[^\s\x00-\x1f?#]*", address):
        raise ValueError("should be an http:// or https:// address, without ? and #")
    return address.rstrip("/")


WebAddress = Annotated[str, AfterValidator(_web)]


def _secure(address: str) -> str:
    if not re.match(r"https://|http://(127\.0\.0\.1|localhost|\[::1\])[:/]", f"{address}/"):
        raise ValueError("should be an https:// address: a token is sent there")
    return address


ApiAddress = Annotated[WebAddress, AfterValidator(_secure)]
