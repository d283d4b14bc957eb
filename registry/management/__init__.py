"""Commands of the registry app."""
