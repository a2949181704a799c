"""Many boards at once: what is planned, who works on what, and how far each board has come."""
