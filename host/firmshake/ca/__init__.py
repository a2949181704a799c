"""The private CA: keys, certificates, revocation lists, and the folder in which they lie."""
