"""A revision for each version of the tables. What is written here does not change any more."""
