"""A round: what it learned, how it is compared, and what a winner must not break."""
