"""The doors of governance: pages and JSON. Rules stand below."""
