"""What the modules of Hongyan share: settings, stores, tables, events, errors, sessions, discovery."""

__version__ = "0.1.0"
