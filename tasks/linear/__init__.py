"""Linear models of phrases: the baseline, and phrase features for networks."""
