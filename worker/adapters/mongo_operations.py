"""What still runs on a server after its clients were stopped.

mongod finishes what a killed client began (an `update_many` went on for 6.5 s and
changed all of 500,000 documents, measured). A stopped container is
not a stopped write.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from bson.son import SON
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from worker.adapters.mongo_errors import UNAUTHORIZED
from worker.adapters.mongo_server import Operation

_WRITE_OPS = ("insert", "update", "remove")
_READ_COMMANDS = (
    "aggregate", "collStats", "count", "dbStats", "distinct", "explain", "find", "getMore",
    "hello", "isMaster", "ismaster", "listCollections", "listIndexes", "ping",
)  # fmt: skip
_WRITE_STAGES = ("$out", "$merge")


def running(
    client: MongoClient[SON[str, Any]],
    databases: tuple[str, ...],
    user: tuple[str, str] | None,
    our_app_name: str,
) -> list[Operation]:
    """Return the operations on these databases, without those of `our_app_name`.

    Of open transactions that do nothing at the moment only the app's user's: the server
    does not say which database they are of.
    """
    found = []
    for listed in _current(client):
        if listed.get("appName") == our_app_name:
            continue
        if listed.get("type") == "idleSession" or _in_a_transaction(listed):
            if _is_of(listed, user):
                found.append(_operation(listed, open_transaction=True))
        elif _database(listed) in databases and listed.get("active"):
            found.append(_operation(listed, open_transaction=False))
    return found


def kill(client: MongoClient[SON[str, Any]], operation: Operation) -> None:
    """Ask the server to end the operation or to abort the transaction."""
    if isinstance(operation.id, Mapping):
        client.admin.command("killSessions", [operation.id])
    else:
        client.admin.command("killOp", op=operation.id)


def _current(client: MongoClient[SON[str, Any]]) -> Iterator[Mapping[str, Any]]:
    asked = {"idleConnections": False, "idleSessions": True}
    try:
        yield from client.admin.aggregate([{"$currentOp": {**asked, "allUsers": True}}])
    except OperationFailure as error:
        if error.code != UNAUTHORIZED:
            raise
        yield from client.admin.aggregate([{"$currentOp": {**asked, "allUsers": False}}])


def _in_a_transaction(listed: Mapping[str, Any]) -> bool:
    return bool(listed.get("transaction", {}).get("parameters", {}).get("autocommit") is False)


def _is_of(listed: Mapping[str, Any], user: tuple[str, str] | None) -> bool:
    """Return whether the session is the user's: sessions carry the SHA-256 of user@database."""
    name = f"{user[0]}@{user[1]}" if user else ""
    return bool(listed.get("lsid", {}).get("uid") == hashlib.sha256(name.encode()).digest())


def _database(listed: Mapping[str, Any]) -> str:
    command = listed.get("command") or {}
    namespace = str(listed.get("ns") or "")
    return str(command.get("$db") or namespace.partition(".")[0])


def _operation(listed: Mapping[str, Any], *, open_transaction: bool) -> Operation:
    transaction = listed.get("transaction", {})
    session = listed.get("lsid")
    number = transaction.get("parameters", {}).get("txnNumber")
    micros = transaction.get("timeOpenMicros") or listed.get("microsecs_running") or 0
    return Operation(
        id=session if open_transaction else listed["opid"],
        key=f"{session}/{number}" if open_transaction else str(listed["opid"]),
        namespace=str(listed.get("ns") or "a session"),
        what="an open transaction" if open_transaction else str(listed.get("op")),
        seconds=int(micros) / 1e6,
        writes=open_transaction or _writes(listed),
        client=str(listed.get("client") or ""),
        app_name=str(listed.get("appName") or ""),
    )


def _writes(listed: Mapping[str, Any]) -> bool:
    """Return whether it may write; what is not known to read only, may."""
    operation, command = listed.get("op"), listed.get("command") or {}
    if operation in _WRITE_OPS:
        return True
    if operation in ("query", "getmore"):
        return False
    if any(stage in part for part in command.get("pipeline", ()) for stage in _WRITE_STAGES):
        return True
    return next(iter(command), None) not in _READ_COMMANDS
