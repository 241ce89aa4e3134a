"""Core: what every step stands on: settings, errors, environment, server, the store and its files, seals and locks, caching, journal, usage."""
