"""The command line: `polymodal`. A skin over `polymodal.commands`; nothing is decided here but words and exit codes."""

from polymodal._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, {"main": "app"})
