"""What the rules of //:defs.bzl run: actions of a build, and tests. Not for import elsewhere."""
