"""The store of this process: a folder, or one that several machines share."""

import functools

from tasks.core.environment import store_address, store_root
from tasks.store.bucket import Bucket
from tasks.store.shared_store import SharedStore
from tasks.store.store import Store


def open_store() -> Store:
    """Return the store that `--store` or ARTIFACTS_STORE names."""
    address = store_address()
    return SharedStore(store_root(), open_bucket(address)) if address else Store(store_root())


@functools.cache
def open_bucket(address: str) -> Bucket:
    """Return the bucket at an address, the same one for the whole process."""
    return Bucket(address)
