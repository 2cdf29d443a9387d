"""The deployer: one deployment at a time per app, or the whole way back."""
