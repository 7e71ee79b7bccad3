"""Looking into ExecuTorch programs with Core ML delegates: what is in them, what they compute, how fast. On any platform."""
