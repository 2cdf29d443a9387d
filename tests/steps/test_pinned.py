"""The images that a switch and a way back need: held, and missed in time."""

from types import SimpleNamespace

import pytest

from worker.errors import StepError, UnavailableError
from worker.release import Release
from worker.steps import fence, pinned


class Engine:
    """Docker, with these images."""

    def __init__(self, *images):
        self.images, self.tags = {*images}, {}

    def image_id(self, name):
        return name if name in self.images else None

    def tag(self, image, name):
        self.tags[name] = image


def attempt(engine, tmp_path):
    app = SimpleNamespace(
        name="shop", checkout=tmp_path, compose_files=["docker-compose.yml"], env_path=None
    )
    app.backup = SimpleNamespace(max_pause=60, consistency="live")
    one = SimpleNamespace(id="new", app=app, engine=engine)
    one.old_release = lambda: release(tmp_path, "old", "sha256:old")
    one.new_release = lambda: release(tmp_path, "new", "sha256:new")
    return one


def release(folder, name, image):
    return Release(name, "abc", "shop", folder, {"web": ("shop-web", image)})


def test_images_of_a_release_are_held_by_names_of_ours(tmp_path):
    engine = Engine("sha256:old")

    pinned.pin(attempt(engine, tmp_path), release(tmp_path, "old", "sha256:old"))

    assert engine.tags == {"sheetanchor/shop:old-web": "sha256:old"}


@pytest.mark.parametrize(
    ("gone", "words"),
    [("sha256:new", "which was built just now"), ("sha256:old", "no way back to it")],
)
def test_pruned_image_is_named_before_the_stop_and_decides_nothing(
    tmp_path, monkeypatch, gone, words
):
    engine = Engine(*{"sha256:old", "sha256:new"} - {gone})
    monkeypatch.setattr(fence, "nobody_in_the_way", lambda _: None)

    with pytest.raises(UnavailableError, match=f"Image {gone} of service web, .*{words}"):
        fence.check(attempt(engine, tmp_path))


def test_switch_to_an_image_that_is_gone_says_how_to_make_it_anew(tmp_path):
    old = release(tmp_path, "old", "sha256:old")

    with pytest.raises(StepError, match="was removed from Docker") as refused:
        pinned.refuse_to_switch(attempt(Engine(), tmp_path), old)

    assert "up -d --build`, which makes shop-web anew from its files" in refused.value.remedy
