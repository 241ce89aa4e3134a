"""The model that serves: found in the registry, loaded, and replaced by a new champion while requests go on."""

import logging
import time
from typing import NamedTuple

import pyarrow as pa

from serving.settings import ServeSettings
from tasks.core.errors import PipelineError, describe
from tasks.network.bundle import Classifier, open_onnx
from tasks.registry.loading import FoundVersion, find_version, load_version

# The first text takes longer than those after it, so it is scored before a request comes.
WARM_UP = pa.array(["a text of a few words"])
RETRY_SECONDS = 60.0  # between attempts to load a champion that was rejected, because each downloads it again
logger = logging.getLogger("serving")


class LoadedModel(NamedTuple):
    """A model that serves."""

    classifier: Classifier
    found: FoundVersion


def load_model(found: FoundVersion, uri: str | None) -> LoadedModel:
    """Load a model, verified, and score one text with it; raise PipelineError if its files are damaged or missing."""
    classifier = load_version(found, uri, open_onnx)
    classifier.predict(WARM_UP)
    return LoadedModel(classifier, found)


class Champion:
    """The model that serves now, and the poll for a new champion."""

    def __init__(self, settings: ServeSettings, uri: str | None) -> None:
        """Load the model that is to serve; raise PipelineError if there is none, or it cannot be loaded."""
        self.settings, self.uri, self.registered_model = settings, uri, settings.registered_model
        self.logged = ""
        self.rejected: FoundVersion | None = None  # a champion that could not be loaded
        self.next_attempt = 0.0  # to load it, by the monotonic clock
        self.now = load_model(self.find(), uri)
        # Another model may get its first champion later, and be the default then.
        self.registered_model = self.now.found.registered_model

    def find(self) -> FoundVersion:
        """Return the version or run that is to serve."""
        return find_version(self.settings.model, self.registered_model, self.uri)

    def look(self) -> bool:
        """Load another champion, if there is one; return whether there was.

        If it cannot be loaded, the old one continues to serve, and the log says so once.
        """
        if self.settings.model is not None:
            return False
        found = None
        try:
            found = self.find()
            if found == self.now.found:
                self.rejected, self.logged = None, ""
                return False
            if self.rejected == found and time.monotonic() < self.next_attempt:
                return False
            loaded = load_model(found, self.uri)
        except Exception as error:  # whatever it is: the service must continue
            if found:
                self.rejected, self.next_attempt = found, time.monotonic() + RETRY_SECONDS
            if str(error) != self.logged:
                self.logged, unforeseen = str(error), not isinstance(error, (PipelineError, OSError))
                logger.warning("%s goes on serving: %s", self.now.classifier.name, describe(error), exc_info=unforeseen)
            return False
        logger.info("%s serves in place of %s", loaded.classifier.name, self.now.classifier.name)
        self.now, self.logged, self.rejected = loaded, "", None
        return True
