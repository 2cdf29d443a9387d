"""A world without a worker: deployments are killed at points, and recovered by a test's process."""

import os
import subprocess
import sys

from tests.e2e.killing import COMPOSE, SECRET
from tests.e2e.points import Points, kill, waited
from tests.e2e.world import HERE, TOP, World, release, until

WRITTEN = "written through the new version"
NOWHERE = "unix:///nonexistent/docker.sock"


class Alone(World):
    def __init__(self, home, mongod):
        super().__init__(home, mongod, health={"timeout": 5, "stable_for": 1})
        self.points = Points(home / "points")
        self.count = 0

    def begin(self):
        self.commit({"docker-compose.yml": COMPOSE})
        self.prepare()
        with (self.checkout / ".env.production").open("a") as env:
            env.write(f"API_KEY={SECRET}\n")
        self.cli("deploy", self.name, check=0)
        self.fill()

    def mend(self):
        """Do what a person does after a test, whatever became of the app in it."""
        if (self.decisions.read()["hold"] or {}).get("kind") == "inconsistent":
            self.commit({"release.json": release("mended")})
            self.cli("deploy", self.name, "--force", check=0)
        self.points.forget()
        self.db.documents.delete_many({"name": WRITTEN})

    def killed_at(self, point, *, served=False, **mode):
        """Kill a deployment of a new version at a point; have people write through it before."""
        self.count += 1
        version = f"two.{self.count}"
        self.commit({"release.json": release(version, **mode)})
        stops = [point]
        if served and point.startswith("way_back"):
            stops.insert(0, "deploy.health.after_intent")
        for stop in stops:
            self.points.hold(stop)
        deploying = self.start("deploy", self.name, env=self.points.env)
        self.points.wait(stops[0])
        if served:
            until(lambda: self.version() == version, "the new version answers")
            assert self.post("/documents", b'{"name": "%s"}' % WRITTEN.encode())
        if len(stops) > 1:
            self.points.release(stops[0])
        kill(self.points.wait(point))
        waited(deploying)
        return version

    def recovered(self, *, late=0.0, patience=600.0, docker=None):
        """Recover as a worker that comes so many seconds later; return the deployment."""
        argv = [sys.executable, str(HERE / "late.py"), str(self.config), self.name]
        env = os.environ | ({"DOCKER_HOST": docker} if docker else {})
        done = subprocess.run(
            [*argv, str(late), str(patience)],
            cwd=TOP,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return self.deployment(done.stdout.strip())

    def written(self):
        return self.db.documents.count_documents({"name": WRITTEN})
