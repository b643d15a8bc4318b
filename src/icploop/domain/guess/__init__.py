"""What a company's exports are likely to be, each guess with its reason: nothing here is certain."""
