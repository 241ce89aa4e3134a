"""Errors that a user can mend: each message says what was found, what was expected and what to do."""


class PipelineError(Exception):
    """An expected failure with a remedy: it is shown as its message, without a traceback."""


class SourceError(PipelineError):
    """The data's source gave something that is not the data."""


class SourceUnreachable(SourceError):
    """The data's source could not be reached, or broke off: trying again later may help."""


class StoreError(PipelineError):
    """The artifact store cannot be read or written."""


class ServerError(PipelineError):
    """Prefect's server cannot be had."""


class DataError(PipelineError):
    """Reviews, labels or tokens are not what a step can work with."""


class TrainingError(PipelineError):
    """Training cannot go on."""


class RegistryError(PipelineError):
    """MLflow refused what was asked of it."""


class RegistryUnreachable(RegistryError):
    """Nobody answers where MLflow should be."""


class ModelError(PipelineError):
    """There is no such model, or it cannot do what is asked of it."""


class InputError(PipelineError):
    """What the user gave to be scored or trained on is not what it should be."""


class MemberError(PipelineError):
    """A network of a comparison could not be taken through the steps of a run."""


class RunnerError(PipelineError):
    """What is to be done side by side cannot be: the runner is not installed, or does not answer."""
