"""The public keys of issuers of tokens, fetched by Pilot so that no proxy has to reach them."""
