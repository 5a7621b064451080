"""Labelled data on disk: photos with label maps."""
