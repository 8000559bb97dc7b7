"""The three services of promotions: the catalogue, campaigns, checkout."""
