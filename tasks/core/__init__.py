"""Core: what every step stands on: settings, errors, environment, server, store, locks, caching, journal, usage."""
