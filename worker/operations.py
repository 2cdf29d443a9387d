"""What a person does to an app's containers: stop, start, restart, remove.

The danger is in what is not meant: no volume, no data path and no restart
policy is touched. A policy that were taken off here would be noted by the next
deployment as the one to give back, so `restart: always` keeps Docker's own
meaning: such a container comes back when Docker itself is started again.

The caller holds the app's lock and has finished what the dead left.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from worker.adapters.compose import Compose
from worker.adapters.containers import Container, stop_order
from worker.adapters.engine import Engine
from worker.adapters.git import Checkout
from worker.clock import Clock, rfc3339
from worker.config import App
from worker.decisions import UNTIL_ENDED, Decisions
from worker.errors import CommandError, GuardError, NotFoundError, StepError
from worker.release import Release, with_pre_stop
from worker.state import State
from worker.steps import neighbours, ownership, present


@dataclass(frozen=True)
class Removed:
    """What `remove` took, and the named volumes that it left."""

    containers: list[str]
    images: list[str]
    volumes: list[str]


@dataclass(frozen=True)
class Operations:
    """The operations on one app. `say` shows a line to whoever asked for it."""

    app: App
    state: State
    engine: Engine
    clock: Clock
    by: str | None
    say: Callable[[str], None]

    def stop(self) -> list[Container]:
        """Stop the containers and hold automatic deployments; return what there is now."""
        there = self._to_act_on()
        self._stop(there)
        self._hold("stopped by hand")
        if (self.decisions.read()["hold"] or {}).get("kind") not in UNTIL_ENDED:
            again = f"to keep it stopped, run `sheetanchor freeze {self.app.name}`"
            self.say(f"the next push to {self.app.branch} starts it again; {again}")
        for one in there:
            if one.policy.get("Name") == "always":
                self.say(f"{one.name} has `restart: always`: Docker's own next start starts it too")
        return self._containers()

    def start(self) -> list[Container]:
        """Start the running release's containers again; return them. Ends a `stopped` hold.

        Nothing is built or pulled. Containers that are not the release's, made
        by somebody else's `docker compose up`, are started as they are.
        """
        there, release = self._containers(), ownership.running_release(self.state)
        if release and self._is(release, there):
            self._up(release)
        elif there:
            self._start(there)
        else:
            raise self._nothing()
        self.decisions.lift("stopped", by=self.by, at=rfc3339(self.clock.now()))
        return self._containers()

    def restart(self) -> list[Container]:
        """Stop, then start; started again also if the stop did not go well."""
        there = self._to_act_on()
        try:
            self._stop(there)
        finally:
            after = self.start()
        return after

    def remove(self, spared: Collection[str] = ()) -> Removed:
        """Remove containers by id and images by name, but those whose names are `spared`.

        Volumes and data stay. An image that something else uses stays, and is named.
        """
        there = containers(self.app, self.state, self.engine)
        names = image_names(self.state) | {one.image_name for one in there}
        self._stop(there)
        for one in there:
            self.engine.remove(one)
        self._hold("removed by hand")
        self.decisions.write(running=None)
        # Our pins first: Docker only refuses to take an image's last name from who uses it.
        for pin in self.engine.tags(f"sheetanchor/{self.app.name}"):
            self._untag(pin)
        removed = [name for name in sorted(names - set(spared)) if self._untag(name)]
        return Removed([one.name for one in there], removed, volumes(there))

    @property
    def decisions(self) -> Decisions:
        """The app's decisions and holds."""
        return Decisions(self.state.decisions)

    def _containers(self) -> list[Container]:
        """Return the containers, without one-off runs and what a deployment left."""
        there = containers(self.app, self.state, self.engine)
        return [one for one in there if not (one.oneoff or one.aside)]

    def _to_act_on(self) -> list[Container]:
        if there := self._containers():
            return there
        raise self._nothing()

    def _nothing(self) -> NotFoundError:
        return NotFoundError(
            f"There are no containers of {self.app.name}.",
            remedy=f"Run `sheetanchor deploy {self.app.name}`.",
        )

    def _stop(self, there: list[Container]) -> None:
        if running := [one for one in there if one.running]:
            self.say(f"stopping {', '.join(one.name for one in running)}")
            self._run_hooks(running)
            self.engine.stop(running)

    def _run_hooks(self, running: list[Container]) -> None:
        """Have Compose stop what has a `pre_stop`, which Docker knows nothing of."""
        release = ownership.running_release(self.state)
        hooked = with_pre_stop(release.model()) if release else set()
        services = sorted({one.service for one in running if one.status == "running"} & hooked)
        if release and services:
            Compose(release.project).stop(release.model_path, services, on_line=self.say)

    def _start(self, there: list[Container]) -> None:
        """Start what is there, each after what it depends on."""
        self.say(f"starting {', '.join(one.name for one in there)}")
        for wave in reversed(stop_order(there)):
            for one in wave:
                self.engine.start(one.id)

    def _is(self, release: Release, there: list[Container]) -> bool:
        """Return whether these containers are the release's, or there are none."""
        images = {service: image for service, (_, image) in release.images.items()}
        if not there:
            return True
        hashes = Compose(release.project).hashes(release.model_path, self.app.checkout, there)
        same = all(images.get(one.service) == one.image for one in there)
        return same and not present.differences(hashes, there)

    def _up(self, release: Release) -> None:
        """Bring the release up. Raises GuardError when an image of it is gone."""
        for name, image in release.images.values():
            if self.engine.image_id(image) is None:
                raise GuardError(
                    f"The image {name} of what ran last is gone.",
                    remedy=f"Run `sheetanchor deploy {self.app.name}`, which builds it.",
                )
            if self.engine.image_id(name) != image:
                self.engine.tag(image, name)
        self.say(f"starting release {release.id}")
        project = Compose(release.project)
        project.up(release.model_path, self.app.checkout, on_line=self.say)

    def _hold(self, reason: str) -> None:
        """Hold automatic deployments, unless a hold that says more does it already.

        A freeze does so for now only: what outlasts it is laid under it.
        """
        head, hold = self._known_head(), self.decisions.read()["hold"]
        if hold and hold["kind"] == "frozen":
            self.say(f"the app stays frozen, too: {hold['reason']}")
            hold = hold.get("under")
        if hold and _holds_anyway(hold, head):
            self.say(f"the app stays held as it was ({hold['kind']}): {hold['reason']}")
            return
        now = rfc3339(self.clock.now())
        self.decisions.hold("stopped", by=self.by, at=now, reason=reason, head=head)

    def _known_head(self) -> str | None:
        """Return the branch head that was fetched last, else the checkout's, else None."""
        checkout = Checkout(self.app.checkout, self.app.branch, self.app.clone_url)
        if not checkout.exists():
            return None
        for name in (f"refs/sheetanchor/remote/{self.app.branch}", "HEAD"):
            try:
                return checkout.revision(name)
            except CommandError:
                continue
        return None

    def _untag(self, name: str) -> bool:
        """Take an image's name; return whether it is gone."""
        if name.startswith("sha256:") or self.engine.image_id(name) is None:
            return False
        try:
            self.engine.untag(name)
        except StepError as error:
            self.say(f"the image {name} stays: {error.message}")
            return False
        return True


def _holds_anyway(hold: dict[str, Any], head: str | None) -> bool:
    """Whether a hold of another kind is in force, whose reason would be lost."""
    other = hold["kind"] != "stopped"
    return other and (hold["kind"] in UNTIL_ENDED or hold["head"] == head)


def containers(app: App, state: State, engine: Engine) -> list[Container]:
    """Return the app's containers, one-off runs too. Raises GuardError for another folder's."""
    project = ownership.project_of(app, state, engine)
    there = engine.containers(project) if project else []
    for one in neighbours.foreign(there, app.checkout):
        raise GuardError(
            f"Container {one.name} of the project {project} was started from"
            f" {one.working_dir}, not from {app.checkout}.",
            remedy="Mend `project` or `checkout` in sheetanchor.toml.",
        )
    return there


def image_names(state: State) -> set[str]:
    """Return the names of the images that an app's stored releases use."""
    stored = [
        folder.name for folder in state.releases.iterdir() if (folder / "images.json").exists()
    ]
    releases = [Release.load(state.releases, one) for one in stored]
    return {name for release in releases for name, _ in release.images.values()}


def volumes(there: Collection[Container]) -> list[str]:
    """Return the volumes that these containers mount."""
    return sorted({mount.name for one in there for mount in one.mounts if mount.type == "volume"})
