"""Whether the data can be trusted: leaks, values written late, health."""
