"""For tests that are not about health: a check that the app passes also on a busy machine."""

from tests.e2e.world import World


def patient_world(home, mongod):
    """Return a world whose first revision gives its health check time."""
    world = World(home, mongod, health={"timeout": 120})
    path = world.clone / "docker-compose.yml"
    text = path.read_text().replace("timeout: 2s", "timeout: 30s")
    world.commit({path.name: text.replace("retries: 2", "retries: 20")})
    return world
