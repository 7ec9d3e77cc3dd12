"""Folders and fleets: a tree of pictures and films, done by one process, several, or a Ray cluster."""
