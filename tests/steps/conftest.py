import pytest

import tasks.predict


@pytest.fixture
def championed(classifier, monkeypatch):
    """The classifier, as the champion of the registry."""
    monkeypatch.setattr(tasks.predict, "load_classifier", lambda *_arguments: classifier)
