"""Linear models: what weighing words and phrases alone can tell, for the yardstick and for networks that read it."""
