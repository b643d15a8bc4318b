"""A version as a value, and its scores and reasons for millions."""
