"""The private CA: keys, certificates, revocation lists, and the folder in which they lie."""

# octets of a CA's name: leaves room in a common name (RFC 5280 appendix A: 64) for what stands
# behind it
LONGEST_NAME = 40
