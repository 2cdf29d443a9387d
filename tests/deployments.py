"""A deployment as tests ask for one; what is not named does not matter to them."""

from worker.deployment import Deployment

USUAL = {
    "id": "20261122t143000-3f9a1c",
    "app": "shop",
    "kind": "deploy",
    "trigger": "push",
    "by": "ann",
    "queued_at": "2026-11-22T14:30:00.000Z",
}


def asked_for(**fields):
    return Deployment(**{**USUAL, **fields})
