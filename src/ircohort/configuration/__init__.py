"""From a TOML file and options to one frozen record of settings."""

from ircohort.configuration.draft import draft
from ircohort.configuration.reading import overlay, read_configuration, settings_from
from ircohort.configuration.settings import ReportSettings, Settings

__all__ = ["ReportSettings", "Settings", "draft", "overlay", "read_configuration", "settings_from"]
