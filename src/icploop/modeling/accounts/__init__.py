"""What may be known of an account at a moment, and its codes."""
