"""Numbers that stay honest among few accounts."""
