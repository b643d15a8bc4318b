"""A simulated company whose true ideal customer is known, to demonstrate and to measure with."""
