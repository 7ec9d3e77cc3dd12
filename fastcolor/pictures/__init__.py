"""Pictures in, pictures out: reading, colouring and writing files."""
