"""Which folder of an older script's archive is which uploads folder.

The danger is a wrong guess: what is taken for uploads and is none would be restored in
their place.
"""

from collections.abc import Mapping, Sequence


def prefixes(names: Sequence[str], roots: Sequence[str]) -> dict[str, str]:
    """Return which folder of the archive holds which uploads folder; "" is the whole archive.

    Scripts pack the path from the checkout, from the root of the file system, the last
    folder, or what is in that.
    """
    found = {
        f"{root}/": root for root in roots if any(f"{n}/".startswith(f"{root}/") for n in names)
    }
    found = found or _further_down(names, roots)
    if found or len(roots) != 1:
        return found
    last = roots[0].rpartition("/")[2]
    below = any(names) and all(f"{name}/".startswith(f"{last}/") for name in names if name)
    return {f"{last}/" if below else "": roots[0]}


def place(found: Mapping[str, str], path: str) -> tuple[str, str]:
    """Return the uploads folder of an archive's path, and its place in a backup; or nothing."""
    for prefix, root in found.items():
        if f"{path}/".startswith(prefix):
            inner = f"{path}/".removeprefix(prefix).rstrip("/")
            return root, f"uploads/{root}/{inner}".rstrip("/")
    return "", ""


def _further_down(names: Sequence[str], roots: Sequence[str]) -> dict[str, str]:
    """Return the folders whose path ends with an uploads folder's, where there is one only."""
    found: dict[str, str] = {}
    for root in roots:
        tops = {f"{name}/".partition(f"/{root}/")[0] for name in names if f"/{root}/" in f"{name}/"}
        found |= {f"{top}/{root}/": root for top in tops if len(tops) == 1}
    return found
