"""Database, broker and the portal's processes on one machine, with nothing installed but Python packages.

A launcher for `make demo`, `make test` and `make check`. No setting of the portal is read here: services come first,
settings second. Production brings its own PostgreSQL and Redis and never enters this package.
"""
