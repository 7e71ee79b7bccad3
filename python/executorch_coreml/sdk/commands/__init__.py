"""The commands of the program `coreml`, one module each: add_arguments(parser) and run(arguments, output)."""
