"""Where the paths of a model lead that was rendered in the work folder."""

from pathlib import Path

import pytest

from worker.steps.pull import pointed

WORK = Path("/state/apps/shop/work/20261122t143000-3f9a1c")
CHECKOUT = Path("/srv/shop")


@pytest.mark.parametrize(
    ("rendered", "meant"),
    [
        (f"{WORK}", "/srv/shop"),
        (f"{WORK}/data", "/srv/shop/data"),
        ("/state/apps/shop/work/beside", "/srv/beside"),
        ("/state/apps/shop/two/up", "/two/up"),
        ("/state/apps/shop", "/"),
        ("/state/apps/shopping/data", "/state/apps/shopping/data"),
        ("/srv/data", "/srv/data"),
        (f"--file={WORK}/x", f"--file={WORK}/x"),
    ],
)
def test_path_leads_where_it_would_from_the_checkout(rendered, meant):
    assert pointed({"volumes": [{"source": rendered}]}, WORK, CHECKOUT) == {
        "volumes": [{"source": meant}]
    }
