"""Tells people, through Apprise, of what they must know. Best effort, and never twice the same."""
