"""The doors of the registry: pages and JSON."""
