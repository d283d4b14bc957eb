"""Commands of the audit app, one a file."""
