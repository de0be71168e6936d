"""The version, read by the package metadata and by ``wsbroker --version``."""

__version__ = "0.1.0"
