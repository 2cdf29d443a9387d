"""Where an app's files are, below `state_dir/apps/<app>/`."""

from dataclasses import dataclass
from pathlib import Path

from worker.config import App, Config
from worker.reserve import Reserve


@dataclass(frozen=True)
class State:
    """The paths of one app. Folders are 0700, but 0711 on the way to `work`."""

    home: Path
    scratch: Path

    @classmethod
    def of(cls, config: Config, app: App) -> "State":
        """Return the app's paths; make its folders."""
        state = cls.where(config, app)
        home = state.home
        for folder in (state.journals, state.releases, state.logs, state.scratch):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Git runs as the checkout's owner and must reach its work folder.
        state.works.mkdir(exist_ok=True, mode=0o711)
        for folder in (state.works, home, home.parent, config.server.state_dir):
            folder.chmod(0o711)
        return state

    @classmethod
    def where(cls, config: Config, app: App) -> "State":
        """Return the app's paths as they are, there or not."""
        home = config.server.state_dir / "apps" / app.name
        return cls(home, home / "scratch")

    @property
    def lock(self) -> Path:
        """The file whose flock means: a deployment of this app runs."""
        return self.home / "lock"

    @property
    def reserve(self) -> Reserve:
        """What is given up when the disk is full, so that an end can be written."""
        return Reserve(self.home / "reserve")

    @property
    def drill(self) -> Path:
        """When a drill passed last, how long a restore takes, and what failed."""
        return self.home / "drill.json"

    @property
    def undone(self) -> Path:
        """What was asked for and could not be done, and why."""
        return self.home / "undone.json"

    @property
    def undone_orders(self) -> Path:
        """What was ordered about the app and could not be done, and why."""
        return self.home / "undone_orders.json"

    @property
    def schedule(self) -> Path:
        """Up to when what is due by itself was done, and what failed."""
        return self.home / "schedule.json"

    @property
    def outgoing(self) -> Path:
        """Which backup went to which target last, and what failed."""
        return self.home / "outgoing.json"

    @property
    def rebuilding(self) -> Path:
        """There while the app is brought back on an empty server: how far that came."""
        return self.home / "rebuilding.json"

    @property
    def slow_lock(self) -> Path:
        """The file whose flock means: slow work of this app (a verify, a drill) runs."""
        return self.home / "slow.lock"

    @property
    def decisions(self) -> Path:
        """What may run by itself, what runs, and why not."""
        return self.home / "decisions.json"

    @property
    def approvals(self) -> Path:
        """Which new privileges of which revision a person approved."""
        return self.home / "approvals.json"

    @property
    def cancels(self) -> Path:
        """Who wants which deployment cancelled."""
        return self.home / "cancels"

    @property
    def seen_backups(self) -> Path:
        """Which backups there were at the last look."""
        return self.home / "seen_backups.json"

    @property
    def remote(self) -> Path:
        """There while the remote does not answer: since when, and what was said."""
        return self.home / "remote.json"

    @property
    def ci(self) -> Path:
        """What CI said of which revision."""
        return self.home / "ci"

    @property
    def github(self) -> Path:
        """What GitHub was told last of each revision and deployment."""
        return self.home / "github.json"

    @property
    def telling_lock(self) -> Path:
        """The file whose flock means: somebody tells others of this app."""
        return self.home / "telling.lock"

    @property
    def notices(self) -> Path:
        """What people were told, and what they still are to be told."""
        return self.home / "notices.json"

    @property
    def noticing_lock(self) -> Path:
        """The file whose flock means: somebody tells people of this app."""
        return self.home / "noticing.lock"

    @property
    def requests(self) -> Path:
        """What people asked through the API, until it is carried out."""
        return self.home / "requests"

    @property
    def slow(self) -> Path:
        """What slow work was asked for, until it is done."""
        return self.home / "slow"

    @property
    def journals(self) -> Path:
        """One journal a deployment."""
        return self.home / "journal"

    @property
    def releases(self) -> Path:
        """One folder a release: model.json, images.json."""
        return self.home / "releases"

    @property
    def works(self) -> Path:
        """One exported revision a deployment, while it is built."""
        return self.home / "work"

    @property
    def logs(self) -> Path:
        """One log a deployment."""
        return self.home / "logs"

    def log(self, deployment: str) -> Path:
        """Return the path of a deployment's log."""
        return self.logs / f"{deployment}.log"
