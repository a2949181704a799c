"""Real peers for the tests: a private CA, TLS servers that fail on purpose, mosquitto, namespaces."""
