"""`manifest.txt`: a backup in words, for the person who opens the folder."""

from collections.abc import Sequence

from worker.backups.manifest import CollectionEntry, Manifest

UNIT = 1024
NAMED = 5  # in a sentence


def render(manifest: Manifest) -> str:
    """Return the text: what, when, why, how much, and how to restore."""
    return "\n".join(
        [*_head(manifest), "", *_databases(manifest), *_files(manifest), *_how(manifest)]
    )


def size_text(count: float) -> str:
    """Return bytes as people read them: 12.3 MiB."""
    for unit in ("bytes", "KiB", "MiB"):
        if count < UNIT:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= UNIT
    return f"{count:.1f} GiB"


def listed(names: Sequence[str]) -> str:
    """Return names as part of a sentence, the first few of them."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more}"


def _head(manifest: Manifest) -> list[str]:
    moment = "yes" if manifest.one_moment else "NO"
    rows = {
        "Backup": manifest.id,
        "App": manifest.app,
        "Kind": manifest.kind,
        "Why": manifest.why,
        "Deployment": manifest.deployment or "none",
        "Revision": manifest.revision or "unknown",
        "Begun": manifest.created_at,
        "Ended": manifest.finished_at,
        "Verified": manifest.verified_at or "NOT YET",
        "One moment": f"{moment}: {manifest.one_moment_why}",
        "At": f"cluster time {manifest.cluster_time}" if manifest.cluster_time else "",
        "Size": f"{size_text(manifest.bytes)} before compression",
        "Server": ", ".join(f"{k} {v}" for k, v in manifest.server.items()) or "no MongoDB",
        "Made with": ", ".join(f"{k} {v}" for k, v in manifest.made_with.items()),
    }
    images = [f"Image:      {name} {image}" for name, image in manifest.images.items()]
    warnings = [f"Warning:    {_plain(warning)}" for warning in manifest.warnings]
    return [
        *(f"{key + ':':<12}{_plain(value)}" for key, value in rows.items() if value),
        *images,
        *warnings,
    ]


def _databases(manifest: Manifest) -> list[str]:
    lines = []
    for database, entries in manifest.databases.items():
        lines.append(f"Database {database}:")
        lines += [f"  {_collection(entry)}" for entry in entries.values()] or ["  empty"]
    return lines


def _collection(entry: CollectionEntry) -> str:
    name = _plain(entry.name)
    if entry.type == "view":
        return f"{name}: a view"
    indexes = f"{len(entry.indexes)} indexes"
    return f"{name}: {entry.documents:,} documents, {size_text(entry.bytes)}, {indexes}"


def _files(manifest: Manifest) -> list[str]:
    lines = []
    for root in manifest.uploads:
        inside = [e for e in manifest.files if e.path.startswith(f"uploads/{root}/")]
        regular = [e for e in inside if e.type == "file"]
        total = size_text(sum(entry.size for entry in regular))
        lines.append(f"Uploads {root}: {len(regular):,} files, {total}")
    config = [e.path for e in manifest.files if e.path.startswith("config/") and e.type == "file"]
    return [*lines, *(f"Config file: {_plain(path.removeprefix('config/'))}" for path in config)]


def _how(manifest: Manifest) -> list[str]:
    return [
        *(["Not in it: MongoDB's users and roles."] if manifest.databases else []),
        *(["Not in it: files' ACLs and extended attributes."] if manifest.uploads else []),
        "",
        "To restore it (a safety backup of the present data is made first):",
        f"  sheetanchor restore {manifest.app} {manifest.id}",
        "Without sheetanchor, with the app stopped:",
        *(
            f"  mongorestore --gzip --drop --bypassDocumentValidation --uri URI "
            f"--nsInclude '{database}.*' mongodb/"
            for database in manifest.databases
        ),
        "  cp -a uploads/PATH/. CHECKOUT/PATH/    (and the config files)",
        "",
    ]


def _plain(text: str) -> str:
    """Return text that a terminal shows and does not obey."""
    shown = text.encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in shown)
