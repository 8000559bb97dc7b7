"""The services that promotions asks: their contracts, their refusals, their absence."""
