"""The fit model, the deal model, and the rivals without a model."""
