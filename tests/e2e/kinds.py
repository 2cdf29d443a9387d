"""What is under way when somebody is killed: its points, and its two legal ends."""

from tests.e2e import points
from worker import plan
from worker.deployment import Status
from worker.release import Release

MARKED = {"uploads": "mark.txt", "database": "marks"}  # what each version writes at its start


class Kind:
    """A good version. `first`: where its process dies before, so that a way back runs."""

    name = "deploy"
    asked = ("deploy", {})
    first = ()
    own_fault = False

    def points(self):
        """Return the names of its points, in their order."""
        return [*points.forward(self.asked[0], **self.asked[1]), *points.END]

    def end(self, point):
        """Return the status to which a kill at this point leads; None when nothing had begun."""
        phase, step, moment = point.split(".")
        if phase == "after" or (step, moment) == ("commit", "after_record"):
            return Status.SUCCEEDED
        steps = plan.steps(*self.asked)
        if (step, moment) == (steps[0], "before_intent"):
            return None
        fence = next(n for n, name in enumerate(steps) if name in plan.FENCES)
        after = steps.index(step) > fence or (step == steps[fence] and moment != "before_intent")
        return Status.ROLLED_BACK if after else Status.FAILED

    def victims(self, all_of_them):
        """Return who can be killed of these."""
        return all_of_them

    def prepare(self, arena):
        """Change the data, where that matters."""

    def begin(self, arena, *, by_hand):
        """Begin it, by a push or from the command line; return its id."""
        world, files = arena.world, self.files(arena)
        if not by_hand:
            return world.push(files)
        world.commit(files)
        return arena.by_hand("deploy", world.name)

    def files(self, arena):
        """Return what is pushed."""
        return arena.files()

    def strange(self, arena, identity, before, after):
        """Yield what of a state is not as this deployment's success leaves it."""
        new = before | {"head": arena.world.git("rev-parse", "HEAD")}
        yield from differences(new, after, marked=True)
        yield from not_running(arena, identity, after, arena.version)

    def note(self, arena, identity, before):
        """Remember what a roll-back from here leads to."""
        arena.brought(identity, arena.version, before)

    def undecided(self, arena, status):
        """Yield what of the decisions is wrong: a death of ours says nothing about the head."""
        head, found = arena.world.git("rev-parse", "HEAD"), arena.world.decisions.read()
        put_off, decided = found["put_off"], found["head"] or {}
        died = status != Status.SUCCEEDED and not self.own_fault
        if (decided.get("revision") == head) == died:
            yield f"the head {head} ended {status}, and is decided by {decided}"
        if died != (bool(put_off) and put_off["revision"] in (head, None)):
            yield f"the head {head} ended {status}, and is put off by {put_off}"


class Bad(Kind):
    """A version that ends at once: its way back."""

    name = "bad deploy"
    own_fault = True

    def points(self):
        return [*points.back("deploy", "fence", "switch", "up"), *points.END]

    def end(self, point):
        return Status.ROLLED_BACK

    def files(self, arena):
        return arena.files(bad=True)


class NoBuild(Kind):
    """A revision that does not build: the way back of its tags."""

    name = "failed build"
    own_fault = True

    def points(self):
        return [*points.back("deploy", "build"), *points.END]

    def end(self, point):
        return Status.FAILED

    def files(self, arena):
        return arena.files(builds=False)


class Died(Kind):
    """A way back that another death began."""

    def __init__(self, name, first, *begun):
        self.name, self.first, self._begun = name, (first,), begun

    def points(self):
        return [*points.back(self.asked[0], *self._begun), *points.END]

    def victims(self, all_of_them):
        return [one for one in all_of_them if one != "hand"]  # a worker's process goes back

    def end(self, point):
        return Status.ROLLED_BACK


class Restore(Kind):
    """A restore of a backup over data that has changed since; always from the command line."""

    name = "restore"
    asked = ("restore", {})

    def victims(self, all_of_them):
        return ["hand"]

    def prepare(self, arena):
        arena.back_up_once()
        arena.spoil()

    def begin(self, arena, *, by_hand):
        del by_hand
        return arena.by_hand("restore", arena.world.name, arena.backup, "--yes")

    def strange(self, arena, identity, before, after):
        yield from differences(before | arena.backed_up, after, marked=True, images=True)

    def note(self, arena, identity, before):
        """Nothing: the same release runs."""

    def undecided(self, arena, status):
        return []  # it is not about the head


class RestoreByApi(Restore):
    """A restore that somebody asked the web process for; a worker's process does it."""

    name = "restore by the API"

    def victims(self, all_of_them):
        return [one for one in all_of_them if one != "hand"]

    def begin(self, arena, *, by_hand):
        del by_hand
        world = arena.world
        path = f"/apps/{world.name}/backups/{arena.backup}/restore"
        status, answer = world.api("POST", path, {"confirm": world.name})
        assert status == 202, answer
        return answer["deployment"]


class DiedRestore(Died, Restore):
    """The way back of a restore."""


class Rollback(Kind):
    """A roll-back to what ran before; there and back again."""

    name = "rollback"
    asked = ("rollback", {"data": "keep"})

    def prepare(self, arena):
        arena.spoil()

    def begin(self, arena, *, by_hand):
        world, to, data = arena.world, arena.releases[0].id, self.asked[1]["data"]
        if by_hand:
            return arena.by_hand("rollback", world.name, "--to", to, "--data", data, "--yes")
        body = {"to": to, "data": data}
        body |= {"confirm": world.name} if data == "restore" else {}
        status, answer = world.api("POST", f"/apps/{world.name}/rollback", body)
        assert status == 202, answer
        return answer["deployment"]

    def strange(self, arena, identity, before, after):
        there = arena.releases[0]
        kept = before if self.asked[1]["data"] == "keep" else before | arena.fenced
        new = kept | {"head": Release.load(arena.releases_folder, there.id).revision}
        yield from differences(new, after, marked=True)
        yield from not_running(arena, identity, after, there.version)

    def note(self, arena, identity, before):
        arena.brought(identity, arena.releases[0].version, before)

    def undecided(self, arena, status):
        return []  # it is not about the head


class RollbackWithData(Rollback):
    """A roll-back that also puts the data back."""

    name = "rollback with data"
    asked = ("rollback", {"data": "restore"})


class DiedRollback(Died, Rollback):
    """The way back of a roll-back."""


class DiedRollbackWithData(Died, RollbackWithData):
    """The way back of a roll-back with data."""


def differences(wanted, found, *, marked=False, images=False):
    """Yield where two fingerprints differ; `marked`: but for what each version writes itself.

    With `images` the images have to be the same, too.
    """
    for part, value in wanted.items():
        one, other = value, found[part]
        if marked and part in MARKED:
            one, other = (_without(each, MARKED[part]) for each in (one, other))
        if marked and not images and part == "containers":
            one, other = ({name: (e[0], e[2]) for name, e in x.items()} for x in (one, other))
        if one != other:
            yield f"{part} is {_changed(one, other)}"


def _without(whole, name):
    return {key: value for key, value in whole.items() if key != name}


def _changed(one, other):
    if not isinstance(one, dict):
        return f"{other}, not {one}"
    keys = {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)}
    return "; ".join(f"{key}: {other.get(key)}, not {one.get(key)}" for key in sorted(keys))


def not_running(arena, identity, after, version):
    """Yield how what runs is not this deployment's release."""
    world = arena.world
    release = Release.load(arena.releases_folder, identity)
    images = {service: image for service, (_, image) in release.images.items()}
    if [one[1] for one in after["containers"].values()] != list(images.values()):
        yield f"the containers run {after['containers']}, not {images}"
    if (running := world.decisions.read()["running"])["release"] != identity:
        yield f"{running['release']} is said to run, not {identity}"
    if (mark := world.db.marks.find_one({"_id": 1})) != {"_id": 1, "version": version}:
        yield f"the data was marked by {mark}, not by {version}"
    if (answers := world.version()) != version:
        yield f"{answers} answers, not {version}"
