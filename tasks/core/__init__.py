"""Core: settings, errors, environment, files, paths and locks, for all other packages."""
