"""What a company's exports are likely to be, each guess with its reason: none is certain."""
