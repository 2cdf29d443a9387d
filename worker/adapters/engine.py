"""The Docker engine, through its SDK: containers, images and their names.

Steps see only plain containers and names. Foreign errors are translated here, once.
"""

import os
import re
from collections.abc import Iterator, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import docker
from docker.errors import ImageNotFound, NotFound

from worker.adapters.containers import (
    PROJECT,
    RUNNING,
    Container,
    Mounted,
    Policy,
    Started,
    Volume,
    inspected,
    listed,
    stand_in,
    stop_order,
)
from worker.adapters.engine_errors import translated
from worker.clock import SystemClock

ENDING = "cannot update a stopped container"
ENDING_TRIES = 20
ENDING_PAUSE = 0.25  # seconds
CHUNK = 1 << 20  # bytes
DELETED = 2  # as Docker numbers changes: changed, added, deleted
SOCKET = "http+docker://"  # so the address of an engine behind a Unix socket begins
TIMEOUT = 120  # seconds, for one request; stopping adds the container's own grace


class Engine:
    """The engine that `DOCKER_HOST` names; connected to when first asked."""

    @cached_property
    def _client(self) -> Any:
        with translated("connect"):
            client = docker.from_env(timeout=TIMEOUT)
        # To look for a proxy in the environment was a third of what a question cost (measured).
        client.api.trust_env = not client.api.base_url.startswith(SOCKET)
        return client

    def version(self) -> str:
        """Return the engine's version. Raises UnavailableError when it does not answer."""
        with translated("ask Docker for its version"):
            return str(self._client.version()["Version"])

    def containers(self, project: str) -> list[Container]:
        """Return all containers of a Compose project, stopped ones too, by name."""
        with translated(f"list the containers of {project}"):
            listed = self._client.api.containers(
                all=True, filters={"label": f"{PROJECT}={project}"}
            )
            found = [self._inspect(entry["Id"]) for entry in listed]
        return sorted((one for one in found if one), key=lambda one: one.name)

    def started_in(self, directory: str) -> list[Started]:
        """Return what the containers that were started from this folder tell of it."""
        name = "com.docker.compose.project.working_dir"
        with translated(f"look for containers of {directory}"):
            there = self._client.api.containers(all=True, filters={"label": name})
        here = os.path.realpath(directory)
        return [
            Started(
                entry["Labels"].get(PROJECT, ""),
                listed(entry["Labels"], "project.config_files"),
                entry["State"] in RUNNING,
            )
            for entry in there
            if os.path.realpath(entry["Labels"][name]) == here
        ]

    def _inspect(self, container: str) -> Container | None:
        try:
            return inspected(self._client.api.inspect_container(container))
        except NotFound:  # removed while we looked
            return None

    def environment(self, container: str) -> dict[str, str]:
        """Return what a container was given as its environment; secrets, so never journalled."""
        with translated("look at a container's environment"):
            try:
                listed = self._client.api.inspect_container(container)["Config"]["Env"] or ()
            except NotFound:
                return {}
        return dict(one.partition("=")[::2] for one in listed)

    def set_policy(self, container: str, policy: Policy) -> None:
        """Give a container this restart policy.

        Docker refuses it for one that ends at that moment, as in a crash loop (seen
        with 20.10), and takes it a moment later.
        """
        clock = SystemClock()
        with translated("set a restart policy"):
            for left in range(ENDING_TRIES - 1, -1, -1):
                try:
                    self._client.api.update_container(container, restart_policy=policy)
                except docker.errors.APIError as error:
                    if not left or ENDING not in str(error.explanation):
                        raise
                    clock.sleep(ENDING_PAUSE)
                else:
                    return

    def stop(self, containers: Sequence[Container]) -> None:
        """Stop containers, those that depend on others first, each with its own grace."""
        for wave in stop_order(containers):
            with ThreadPoolExecutor(max_workers=max(1, len(wave))) as pool:
                list(pool.map(self._stop, wave))

    def _stop(self, container: Container) -> None:
        with translated(f"stop {container.name}"):
            try:
                self._client.api.stop(container.id, timeout=container.stop_timeout)
            except NotFound:
                return

    def start(self, container: str) -> None:
        """Start a container that is there."""
        with translated("start a container"):
            self._client.api.start(container)

    def pause(self, container: Container) -> None:
        """Freeze a running container."""
        with translated(f"pause {container.name}"):
            self._client.api.pause(container.id)

    def unpause(self, container: Container) -> None:
        """Let a frozen container go on."""
        with translated(f"unpause {container.name}"):
            self._client.api.unpause(container.id)

    def remove(self, container: Container) -> None:
        """Remove a stopped container by its id; its volumes stay, anonymous ones too."""
        with translated(f"remove {container.name}"):
            try:
                self._client.api.remove_container(container.id, v=False)
            except NotFound:
                return

    def create_stand_in(self, gone: Container) -> None:
        """Make a container, never to be started, that has the place and volumes of a gone one."""
        with translated(f"make a stand-in for {gone.own_name}"):
            binds = self._client.api.create_host_config(binds=stand_in(gone).binds)
            self._client.api.create_container(
                gone.image,
                ["none"],
                name=gone.own_name,
                labels=stand_in(gone).labels,
                host_config=binds,
            )

    def rename(self, container: str, name: str) -> None:
        """Give a container another name. Raises StepError when the name is taken."""
        with translated(f"rename a container to {name}"):
            self._client.api.rename(container, name)

    def changes(self, container: str) -> list[str]:
        """Return the paths that a container added or changed in its own layer."""
        with translated("ask what a container wrote"):
            found = self._client.api.diff(container) or ()
        return [str(one["Path"]) for one in found if one["Kind"] != DELETED]

    def archive(self, container: str, path: str) -> Iterator[bytes]:
        """Yield what is at a path of a container, as tar; running or not."""
        with translated(f"read {path} of a container"):
            yield from self._client.api.get_archive(container, path, CHUNK)[0]

    def image_id(self, name: str) -> str | None:
        """Return the id that an image's name or id has now; None when there is none."""
        with translated(f"look up the image {name}"):
            try:
                return str(self._client.api.inspect_image(name)["Id"])
            except ImageNotFound:
                return None

    def image_volumes(self, image: str) -> list[str]:
        """Return where an image, by name or id, declares volumes (its `VOLUME`)."""
        with translated(f"look at the image {image}"):
            config = self._client.api.inspect_image(image)["Config"] or {}
        return sorted(config.get("Volumes") or ())

    def place_of_images(self, images: Set[str]) -> tuple[Path, int]:
        """Return Docker's own folder on its host, and the bytes of these images in it."""
        with translated("measure its images"):
            there = [one["Size"] for one in self._client.api.images() if one["Id"] in images]
            return Path(self._client.info()["DockerRootDir"]), sum(there)

    def mounts(self, container: str) -> tuple[Mounted, ...] | None:
        """Return what any container of this host mounts; None when there is none of that name."""
        with translated(f"look at the container {container}"):
            found = self._inspect(container)
        return found.mounts if found else None

    def volume(self, name: str) -> Volume | None:
        """Return how a volume was made; None when there is none of that name."""
        with translated(f"look at the volume {name}"):
            try:
                raw = self._client.api.inspect_volume(name)
            except NotFound:
                return None
        return Volume(str(raw["Driver"]), dict(raw["Options"] or {}))

    def tag(self, image: str, name: str) -> None:
        """Give an image another name; who had it loses it."""
        repository, _, tag = name.rpartition(":") if _has_tag(name) else (name, "", "latest")
        with translated(f"tag {name}"):
            self._client.api.tag(image, repository, tag)

    def untag(self, name: str) -> None:
        """Take a name from its image; the image goes if nothing else holds it."""
        with translated(f"untag {name}"):
            try:
                self._client.api.remove_image(name, noprune=False)
            except NotFound:
                return

    def tags(self, repository: str) -> list[str]:
        """Return the full names of all images under a repository name."""
        with translated(f"list the images of {repository}"):
            images = self._client.api.images(name=repository)
        names = (name for image in images for name in image["RepoTags"] or ())
        return [name for name in names if name.rpartition(":")[0] == repository]

    def logs(self, container: str, *, tail: int) -> str:
        """Return the last lines that a container wrote."""
        with translated("read a container's log"):
            return bytes(self._client.api.logs(container, tail=tail)).decode(errors="replace")

    def follow(self, container: str, *, tail: int) -> Iterator[str]:
        """Yield a container's log, then what comes, until it ends."""
        with translated("follow a container's log"):
            for chunk in self._client.api.logs(container, tail=tail, stream=True, follow=True):
                yield bytes(chunk).decode(errors="replace")


def _has_tag(name: str) -> bool:
    return re.search(r":[^/]+$", name) is not None
