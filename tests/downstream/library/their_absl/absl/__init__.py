"""Stands for a build of absl that a workspace has of its own."""

WHOSE = "theirs"
