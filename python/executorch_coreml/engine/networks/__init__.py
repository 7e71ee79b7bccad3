"""Neural networks of Core ML's older format: their layers become operations of an ML Program, which the engine executes."""
