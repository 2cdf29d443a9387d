"""Shows at GitHub how deployments go: commit statuses and Deployments. Best effort."""
