"""The artifact store: content-addressed folders, written atomically and verified before reuse."""
