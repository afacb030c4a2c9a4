"""How an agent acts in environments, and what becomes of the episodes; here or in a process of its own."""
