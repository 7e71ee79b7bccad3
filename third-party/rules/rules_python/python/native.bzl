"""Bazel's builtin symbols under other names: a file cannot define a name in terms of the builtin of that name."""

native_py_info = PyInfo  # buildifier: disable=native-py-info
