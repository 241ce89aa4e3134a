import json
from types import SimpleNamespace

import pytest

from tasks.core.settings import PromotionSettings
from tasks.promote import find_standing

ASKED = PromotionSettings().model_dump()


def version(number: int, record: dict | None = None, **tags: str) -> SimpleNamespace:
    """A version as MLflow's client returns it."""
    return SimpleNamespace(version=str(number), tags=tags | ({"promotion": json.dumps(record)} if record else {}))


LOST = {"decision": "challenger", "against": 1, "asked": ASKED}


@pytest.mark.parametrize(
    ("its", "champion", "stands"),
    [
        (version(2), None, None),
        (version(2), version(1), None),
        (version(2, LOST), version(1), "challenger"),
        (version(2, LOST), version(3), None),
        (version(2, LOST), None, None),
        (version(2, LOST | {"asked": ASKED | {"alpha": 0.2}}), version(1), None),
        (version(2, LOST | {"decision": "neither"}), version(1), "neither"),
        (version(1, {"decision": "champion", "against": None}), version(1), "champion"),
        (version(1), version(1), "champion"),
        # Killed between its record and its alias.
        (version(2, LOST | {"decision": "champion"}), version(1), None),
        # Rolled back by a person.
        (version(2, LOST | {"decision": "champion"}, replaced_by="1"), version(1), "neither"),
        (version(2, LOST | {"decision": "champion"}, replaced_by="1"), None, None),
    ],
)
def test_a_decision_stands_until_there_is_another_question(its, champion, stands):
    found = find_standing(its, champion, PromotionSettings())
    assert (found["decision"] if found else None) == stands
