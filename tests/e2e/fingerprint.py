"""What must be the same again: code, images, policies, env file, uploads, database."""

import contextlib
import hashlib
import os
import stat
import time

import docker

PROJECT = "com.docker.compose.project"


def take(world):
    """Return the fingerprint: equal before and after means that nothing changed."""
    return {
        "head": world.git("rev-parse", "HEAD", cwd=world.checkout),
        "branch": world.git("rev-parse", "--abbrev-ref", "HEAD", cwd=world.checkout),
        "worktree": world.git("status", "--porcelain", cwd=world.checkout),
        "containers": containers(world.name),
        "env": hashlib.sha256((world.checkout / ".env.production").read_bytes()).hexdigest(),
        "uploads": tree(world.uploads),
        "database": database(world.db),
    }


def containers(project):
    """Return `service-place` -> state, image id and restart policy of each container.

    The place in its service, from 1 on: Compose counts on when it adds a container
    to others, so that one in the same place may have another number.
    """
    client = docker.from_env()
    try:
        there = client.containers.list(all=True, filters={"label": f"{PROJECT}={project}"})
        found = {}
        for one in sorted((one for one in there if not is_one_off(one)), key=number):
            service = one.labels["com.docker.compose.service"]
            place = sum(name.rpartition("-")[0] == service for name in found) + 1
            policy = tuple(sorted(one.attrs["HostConfig"]["RestartPolicy"].items()))
            found[f"{service}-{place}"] = (state(one.status), one.attrs["Image"], policy)
        return found
    finally:
        client.close()


def is_one_off(container):
    return container.labels["com.docker.compose.oneoff"] == "True"


def number(container):
    return int(container.labels["com.docker.compose.container-number"])


def state(status):
    """Return the state as people see it: what was stopped before it was made anew is `created`."""
    return "stopped" if status in ("created", "exited", "dead") else status


def images(project):
    """Return image name -> id of what is the project's, pins too; other tests may remove theirs."""
    client = docker.from_env()
    try:
        listed = client.api.images()  # `images.list` would ask for each, also for what goes
    finally:
        client.close()
    tags = {tag: image["Id"] for image in listed for tag in image["RepoTags"] or ()}
    mine = (f"{project}-", f"sheetanchor/{project}:")
    return {tag: image for tag, image in tags.items() if tag.startswith(mine)}


def tree(folder):
    """Return path -> mode, owner and content; folders too."""
    found = {}
    for place, folders, files in os.walk(folder):
        for name in [*folders, *files, "."]:
            path = os.path.join(place, name)
            status = os.lstat(path)
            content = ""
            if stat.S_ISREG(status.st_mode):
                with open(path, "rb") as file:
                    content = hashlib.sha256(file.read()).hexdigest()
            elif stat.S_ISLNK(status.st_mode):
                content = os.readlink(path)
            found[os.path.relpath(path, folder)] = (
                oct(status.st_mode),
                status.st_uid,
                status.st_gid,
                content,
            )
    return found


def database(db):
    """Return dbHash and index specifications of every collection."""
    hashes = db.command("dbHash")["collections"]
    return {
        name: (hashes.get(name), sorted(map(repr, db[name].index_information().items())))
        for name in db.list_collection_names()
        if not name.startswith("system.")
    }


def remove(project):
    """Remove a test's containers, networks and images by name."""
    client = docker.from_env()
    try:
        label = {"label": f"{PROJECT}={project}"}
        there = client.containers.list(all=True, filters=label)
        for one in there:  # one that is started anew while it is removed keeps its network
            with contextlib.suppress(docker.errors.APIError):  # it is going already
                one.update(restart_policy={"Name": "no"})
        for one in there:
            one.remove(force=True, v=True)
        for network in client.networks.list(filters=label):
            _remove(network)
        for volume in client.volumes.list(filters=label):
            volume.remove()
        for tag in images(project):
            client.images.remove(tag, force=True)
    finally:
        client.close()


def _remove(network):
    """Remove a network; on a busy machine Docker lets its last containers go a little later.

    One that it counts and no longer knows (20.10) goes with its next start: nobody's is left.
    """
    deadline = time.monotonic() + 60
    while True:
        try:
            return network.remove()
        except docker.errors.APIError:
            if time.monotonic() > deadline:
                network.reload()
                if network.attrs["Containers"]:
                    raise
                return None
            time.sleep(0.5)
