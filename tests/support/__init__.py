"""Real peers for the tests: a CA, TLS servers that fail on purpose, mosquitto, namespaces."""
