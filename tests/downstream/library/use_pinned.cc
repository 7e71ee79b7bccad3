// Is compiled only with the build of ExecuTorch that the label flag names.

#if !defined(PINNED_EXECUTORCH) || defined(THEIR_EXECUTORCH)
#error @coreml_delegate//third-party/executorch:runtime is not the build of ExecuTorch that the flag names
#endif

int main() { return 0; }
