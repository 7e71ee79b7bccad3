"""Models with published weights, each a function that returns the module and its example inputs."""
