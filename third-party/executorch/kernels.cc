// The wheel's kernels register themselves when their library is loaded, and no program names a
// symbol of it: a linker that keeps only the libraries that are used (--as-needed, the default of
// some distributions) would drop it. This names one.

namespace executorch::cpublas {
bool gemm_uses_blas();
}  // namespace executorch::cpublas

namespace {
[[gnu::used]] bool (*const kKeepKernels)() = &executorch::cpublas::gemm_uses_blas;
}  // namespace
