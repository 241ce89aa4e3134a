"""Core: what every step stands on: settings, errors, environment, server, store, caching, journal, usage."""
