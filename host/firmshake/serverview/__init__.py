"""What a full library sees of a broker: its chain, versions, ciphers, resumption, revocation."""
