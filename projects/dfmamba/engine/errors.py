"""The errors that are the user's to mend: the tools show their message without a traceback."""

from dfmamba.errors import DataError, UserError

__all__ = ["BatchError", "ConfigError", "DataError", "UserError"]


class ConfigError(UserError):
    """A config file or a `--cfg-options` entry is wrong."""


class BatchError(UserError):
    """The first training batch cannot teach anything: no valid joint, or targets that are not finite."""
