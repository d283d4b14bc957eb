"""Commands for `manage.py` about what is allowed."""
