"""One archive for those who help: what they need to know, and no secret."""
