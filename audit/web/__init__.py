"""The doors of the audit: pages and downloads, for auditors."""
