#ifndef COREML_DELEGATE_RUNTIME_RUNNER_TRACER_H_
#define COREML_DELEGATE_RUNTIME_RUNNER_TRACER_H_

// ExecuTorch's ETDump with values in a file, and without two of its traps (ExecuTorch 1.5): a
// float16 tensor corrupts its memory, and a full buffer ends the process.
//
// Thread rule: one thread.

#include <executorch/devtools/etdump/etdump_flatcc.h>

#include <cstdint>
#include <memory>
#include <utility>

#include "base/atomic_file.h"
#include "base/status.h"

namespace coreml_delegate::runner {

// Values one after the other in a new file, as ETDump's buffer has them. ETDump aborts when a write
// fails, so a failure is kept for finish() and what follows it is dropped.
class ValueFile : public executorch::etdump::DataSinkBase {
 public:
  explicit ValueFile(std::unique_ptr<AtomicFile> file) : file_(std::move(file)) {}

  executorch::runtime::Result<size_t> write(const void* data, size_t size) override;
  size_t get_used_bytes() const override { return used_; }
  // Once, after the last value. Without it there is no file.
  Status finish();

 private:
  std::unique_ptr<AtomicFile> file_;
  size_t used_ = 0;
  Status status_;
};

class Tracer : public executorch::etdump::ETDumpGen {
 public:
  // float16 values of operators and of the method are recorded as float32; those of operations
  // within a delegate come as float32 already.
  executorch::runtime::Result<bool> log_evalue(const executorch::runtime::EValue& value,
                                               executorch::runtime::LoggedEValueType type) override;
};

}  // namespace coreml_delegate::runner

#endif  // COREML_DELEGATE_RUNTIME_RUNNER_TRACER_H_
