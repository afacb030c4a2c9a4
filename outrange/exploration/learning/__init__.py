"""What every agent learns with: replay, networks, returns, families of mixtures."""
