"""Backups of an app's data: made, read back, listed, compared, restored, let go."""
