"""The cast and the walk: real objects made by the real verbs, for `make demo` and for the tests."""
