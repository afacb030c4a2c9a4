"""Ground floor: what every room stands on. Nothing here imports a room."""
