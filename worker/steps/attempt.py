"""What a step works with: the deployment, the facts so far, the real adapters."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worker.adapters import compose as compose_adapter
from worker.adapters import mongo_address
from worker.adapters.compose import Compose
from worker.adapters.containers import Container
from worker.adapters.engine import Engine
from worker.adapters.git import Checkout
from worker.approvals import Approvals
from worker.cancels import Cancels
from worker.clock import Clock
from worker.config import App
from worker.decisions import Decisions
from worker.deployment import Deployment
from worker.errors import GuardError
from worker.release import Release
from worker.reserve import Reserve
from worker.state import State

if TYPE_CHECKING:
    from worker.adapters.mongo import Mongo

Facts = dict[str, Any]


@dataclass
class Attempt:
    """One run of a deployment, or of its way back after somebody's death.

    `facts` maps `phase.step` to what that step returned, as the journal has it.
    `say` writes a line to the deployment's log.
    """

    app: App
    deployment: Deployment
    state: State
    clock: Clock
    engine: Engine
    say: Callable[[str], None]
    redact: Callable[[str], str] = str
    others: tuple[App, ...] = ()  # of the same configuration
    facts: dict[str, Facts] = field(default_factory=dict)
    phase: str = "deploy"
    inherited: bool = False  # from a process that died
    settled: bool = False  # what its daemon was doing has ended since
    note: Callable[[Facts], object] = lambda _: None  # journals a fact before the step acts on

    def fact(self, step: str, name: str, default: Any = None) -> Any:
        """Return what a step of the deploy found, or the default."""
        return self.facts.get(f"deploy.{step}", {}).get(name, default)

    def learn(self, step: str, facts: Facts) -> None:
        """Journal what a step of the deploy found before its end, and know it from now on."""
        self.note(facts)
        self.facts[f"deploy.{step}"] = self.facts.get(f"deploy.{step}", {}) | facts

    @property
    def id(self) -> str:
        """The deployment's id."""
        return self.deployment.id

    @property
    def going_back(self) -> bool:
        """Whether this is the way back."""
        return self.phase == "way_back"

    @cached_property
    def checkout(self) -> Checkout:
        """The app's checkout."""
        return Checkout(self.app.checkout, self.app.branch, self.app.clone_url, mark=self.id)

    @property
    def compose(self) -> Compose:
        """The app's Compose project, as preflight found it."""
        return Compose(self.fact("preflight", "project"), mark=self.id)

    @property
    def decisions(self) -> Decisions:
        """The app's decisions and holds."""
        return Decisions(self.state.decisions)

    @property
    def cancels(self) -> Cancels:
        """Who wants a deployment of the app cancelled."""
        return Cancels(self.state.cancels)

    def refuse_cancelled(self) -> None:
        """Raise CancelledError when a person cancelled this before its fence."""
        if not self.going_back and (wish := self.cancels.of(self.id)):
            raise wish.error()

    @property
    def approvals(self) -> Approvals:
        """The privileges that a person approved."""
        return Approvals(self.state.approvals)

    @property
    def left_alone(self) -> list[str]:
        """What no move of the work tree touches: data, and the env files of this host."""
        own = [self.app.env_inside] if self.app.env_inside else []
        moved = self.fact("preflight", "left_behind") or self.facts.get("deploy.pull", {})
        return [*self.app.data.uploads, *own, *moved.get("stay", ())]

    @property
    def work(self) -> Path:
        """The folder of the exported revision."""
        return self.state.works / self.id

    @cached_property
    def mongo(self) -> "Mongo | None":
        """The app's databases, or None. Raises GuardError or UnavailableError."""
        options, env_file = self.deployment.options, self.app.env_path
        if options.get("only") == "env" and env_file and not env_file.exists():
            return None  # the lost file itself says where they are
        return mongo_at(self.app, self.mongodb_uri)

    @cached_property
    def mongodb_uri(self) -> str | None:
        """What `data.mongodb` names, read when first asked for. Raises GuardError."""
        return mongodb_uri(self.app, self.state.scratch)

    @property
    def databases_at(self) -> str | None:
        """Where the app's databases are, as its URI says it; without a secret."""
        uri = self.mongodb_uri if self.mongo else None
        return mongo_address.spelled(uri, self.app.data.databases) if uri else None

    @property
    def reserves(self) -> tuple[Reserve, ...]:
        """What is given up on a full disk: for our own end, for Git's move back, and for Docker.

        A stopped container needs some blocks to be started again (seen).
        """
        git_dir = self.checkout.git_dir
        of_git = (Reserve(git_dir / "sheetanchor-reserve"),) if git_dir.is_dir() else ()
        root = self.fact("preflight", "docker", {}).get("root")
        of_docker = (Reserve(Path(root, f"sheetanchor-reserve-{self.app.name}")),) if root else ()
        return (self.state.reserve, *of_git, *of_docker)

    @property
    def containers(self) -> list[Container]:
        """The project's containers as they are now, without one-off runs and what was left."""
        return [one for one in self.everything if not (one.oneoff or one.aside)]

    @property
    def everything(self) -> list[Container]:
        """The project's containers as they are now, one-off runs too."""
        return self.engine.containers(self.fact("preflight", "project"))

    @property
    def before(self) -> list[Container]:
        """The project's containers as preflight noted them."""
        return [Container.from_dict(one) for one in self.fact("preflight", "containers", ())]

    def old_release(self) -> Release | None:
        """Return what ran before; None when nothing ever did."""
        release = self.fact("preflight", "old_release")
        return Release.load(self.state.releases, release) if release else None

    @property
    def brings_release(self) -> bool:
        """Whether this deployment makes a release; a restore does for another env file."""
        return self.deployment.kind != "restore" or bool(self.fact("restore", "env_restored"))

    def new_release(self) -> Release | None:
        """Return the release after this deployment: its own, or the one that stays."""
        if not self.brings_release:
            return self.old_release()
        return Release.load(self.state.releases, self.id)

    def target(self) -> Release | None:
        """Return the release that this phase leads to."""
        return self.old_release() if self.going_back else self.new_release()


def mongo_at(app: App, uri: str | None) -> "Mongo | None":
    """Return the app's databases at a URI, or None without one."""
    if uri is None:
        return None
    from worker.adapters.mongo import Mongo  # noqa: PLC0415 - `status` needs no driver

    admin = app.data.mongodb_admin_file
    return Mongo.connect(uri, app.data.databases, admin.read_text().strip() if admin else None)


def mongodb_uri(app: App, scratch: Path) -> str | None:
    """Return the URI that `data.mongodb` names. Raises GuardError naming the key."""
    source = app.data.mongodb
    if not source:
        return None
    kind, _, name = source.partition(":")
    if kind == "env_file":
        uri = _from_env_file(app, name, scratch)
    elif kind == "env":
        uri = os.environ.get(name)
    else:
        uri = _from_file(app, Path(source))
    if not uri:
        raise GuardError(
            f"apps.{app.name}.data.mongodb: {source} holds no value.",
            remedy="Set the variable, or mend data.mongodb in sheetanchor.toml.",
        )
    return uri


def _from_env_file(app: App, name: str, scratch: Path) -> str | None:
    env_file = app.env_path
    if env_file is None or not env_file.is_file():
        raise GuardError(
            f"The env file {env_file} does not exist.",
            remedy="Write it, or mend env_file in sheetanchor.toml; the one of the newest backup"
            f" comes back with `sheetanchor restore {app.name} --only env`.",
        )
    return compose_adapter.value_in(env_file, name, scratch)


def _from_file(app: App, path: Path) -> str:
    try:
        return (app.checkout / path).read_text().strip()
    except OSError as error:
        raise GuardError(
            f"apps.{app.name}.data.mongodb: {path} could not be read: {error.strerror}.",
            remedy="Write the URI there, or name it as env_file:NAME or env:NAME.",
        ) from error
