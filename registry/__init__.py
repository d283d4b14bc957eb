"""WHAT EXISTS: assets, versions, components, datasets and evidence. Facts only; judgements stand in governance."""
