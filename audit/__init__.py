"""WHAT HAPPENED. Files are the ground floor that everybody writes to; folders stand on the roof and read everybody."""
