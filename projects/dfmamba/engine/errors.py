"""The errors that are the user's to mend: the tools show their message without a traceback."""


class UserError(ValueError):
    """A mistake in a config, an option or the data; the message says what was expected, what came, where to look."""


class ConfigError(UserError):
    """A config file or a `--cfg-options` entry is wrong."""


class BatchError(UserError):
    """The first training batch cannot teach anything: no valid joint, or targets that are not finite."""
