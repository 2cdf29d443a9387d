"""The outside world, one module each: programs, Git, Compose, Docker, MongoDB, files, HTTP."""
