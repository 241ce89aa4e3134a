"""Network: layers, training helpers, checkpoints, scoring, bundles and exports."""
