"""What people read: the ICP page, plots, tables."""
