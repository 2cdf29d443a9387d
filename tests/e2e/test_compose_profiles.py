from tests.e2e.world import HERE, release

SIDE = """
  side:
    image: sheetanchor-base:1
    profiles: [extra]
    restart: unless-stopped
    init: true
    command: [sleep, infinity]
  asleep:
    image: sheetanchor-base:1
    profiles: [never]
    command: [sleep, infinity]
"""


def test_services_of_active_profiles_run_and_come_back_and_no_others(world):
    compose = (HERE / "app" / "docker-compose.yml").read_text() + SIDE
    world.commit({"docker-compose.yml": compose})
    world.prepare()
    with (world.checkout / ".env.production").open("a") as env:
        env.write("COMPOSE_PROFILES=extra\n")
    world.up()

    first = world.wait(world.deliver(world.git("rev-parse", "HEAD"))[1]["deployment"])

    assert first["status"] == "succeeded", first
    before = world.containers()
    assert {name: state for name, (state, *_) in before.items()} == {
        "web-1": "running",
        "side-1": "running",
    }

    bad = world.wait(world.push({"release.json": release("two", mode="exits")}))

    assert bad["status"] == "rolled_back", bad
    assert world.containers() == before
