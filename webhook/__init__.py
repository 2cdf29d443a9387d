"""The door: verifies deliveries, stores them, shows what became of them."""
