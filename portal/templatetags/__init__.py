"""The template library of the whole site: formatting only, never a decision."""
