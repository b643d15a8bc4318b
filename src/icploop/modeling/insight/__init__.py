"""What customers tell beside the ICP."""
