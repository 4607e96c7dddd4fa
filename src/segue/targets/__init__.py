"""Metadata and features to what a network is taught: factors of groups of tracks."""
