"""Answers as files: tables as CSV and XLSX, and the evidence bundle of one version with its own verifier.

`requests` asks for an export, `builder` makes it, `tables` and `package` know the formats. `verify` is shipped inside
every bundle and knows nothing of this portal.
"""
