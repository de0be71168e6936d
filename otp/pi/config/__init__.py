"""From file, environment and options to one ``Settings`` object; see ``loading``."""

from otp.pi.config.loading import CONFIG_VARIABLE, ConfigError, Loaded, load
from otp.pi.config.template import default_config

__all__ = ["CONFIG_VARIABLE", "ConfigError", "Loaded", "default_config", "load"]
