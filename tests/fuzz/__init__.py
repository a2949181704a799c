"""Parsers under arbitrary bytes: one target each, seeds in `corpus`, run by `make fuzz`."""
