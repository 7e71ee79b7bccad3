// Is compiled only with what this workspace brings in the place of the delegate's own.

#ifndef THEIR_EXECUTORCH
#error @coreml_delegate//third-party/executorch:runtime is not the build of ExecuTorch that this workspace names
#endif
#ifndef THEIR_OPENVINO
#error @coreml_delegate//third-party/openvino is not the OpenVINO that this workspace names
#endif
#ifndef THEIR_TBB
#error @coreml_delegate//third-party/tbb is not the oneTBB that this workspace names
#endif

int main() { return 0; }
