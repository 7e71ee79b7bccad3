"""The load path of rules_shell, answered with Bazel's native rule."""

sh_test = native.sh_test
