"""Threads of the linear algebra libraries: their number changes how sums are rounded."""

THREADS = 2  # the documented figures were computed with two


def fix_threads() -> None:
    """Use two threads for linear algebra from now on, however many processors there are or OMP_NUM_THREADS says."""
    import scipy.linalg  # noqa: F401 - brings a library of its own, which must be loaded to be limited
    from threadpoolctl import threadpool_limits

    threadpool_limits(THREADS, user_api="blas")
