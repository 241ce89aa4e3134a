"""Errors that a user can fix: each message says what was found, what was expected and what to do."""


class PipelineError(Exception):
    """An expected failure with a remedy: it is shown as its message, without a traceback."""


class SourceError(PipelineError):
    """A data source returned something else than the data set."""


class SourceUnreachable(SourceError):
    """A data source could not be reached or closed the connection: trying again later may help."""


class StoreError(PipelineError):
    """The artifact store cannot be read or written."""


class ServerError(PipelineError):
    """Prefect's server, or the address to serve at, is not available."""


class DataError(PipelineError):
    """Texts, labels or tokens that a step cannot work with."""


class TrainingError(PipelineError):
    """Training cannot go on."""


class RegistryError(PipelineError):
    """MLflow does not answer, or refused a request."""


class ModelError(PipelineError):
    """There is no such model, or it does not support the request."""


class InputError(PipelineError):
    """Files or settings of the user that cannot be used."""


class MemberError(PipelineError):
    """A step of a comparison's member failed."""


class RunnerError(PipelineError):
    """A runner is not installed, or does not answer."""


class UsageError(PipelineError):
    """The command line cannot be run; the message has one line per mistake."""
