#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_PORTABLE_STATE_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_PORTABLE_STATE_H_

// The states of a function on the portable engine: two buffers for each, the value now and room for
// the value after the next execution. An execution reads one and writes the other; only its success
// makes the written one the value. So a failed execution changes nothing, and no value lives in an
// OpenVINO infer request. Knows nothing of OpenVINO.
//
// Thread rule: one use at a time. Uses that overlap, executions included, are refused with
// failed_precondition.

#include <atomic>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "base/tensor_type.h"
#include "runtime/engine/engine.h"

namespace coreml_delegate::engine::portable {

// One state: how callers see it, and as what it is kept.
struct StateLayout {
  TensorSpec spec;  // Static.
  DataType buffer_type = DataType::kInvalid;
  bool operator==(const StateLayout&) const = default;

  size_t element_count() const;
  size_t described_bytes() const { return element_count() * data_type_size(spec.dtype); }
  size_t buffer_bytes() const { return element_count() * data_type_size(buffer_type); }
};

class PortableState : public State {
 public:
  // Values not among `initial` start as zero. invalid_argument for one of a wrong size, not_found
  // for an unknown name, resource_exhausted when there is no memory.
  static Result<std::unique_ptr<PortableState>> create(const std::vector<StateLayout>& layouts,
                                                       std::span<const InitialStateValue> initial);

  Status reset() override;
  Status read(std::string_view name, std::span<std::byte> destination) const override;
  Status write(std::string_view name, ByteSpan source) override;
  Result<std::unique_ptr<State>> copy() const override;

  // --- For the execution that holds the use. ---

  // Marks the state as in use for its lifetime; ok() is false when someone else does.
  class Use {
   public:
    explicit Use(const PortableState& state) : state_(state), ok_(!state.in_use_.exchange(true)) {}
    ~Use() {
      if (ok_) state_.in_use_.store(false);
    }
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;
    bool ok() const { return ok_; }
    Status status() const;

   private:
    const PortableState& state_;
    bool ok_;
  };

  // The slot of this name, type and shape; null when there is none.
  struct Slot {
    StateLayout layout;
    std::vector<std::byte> initial;  // As callers see it; empty for zero.
    std::shared_ptr<std::byte[]> current;
    std::shared_ptr<std::byte[]> next;
  };
  Slot* find(const StateLayout& layout);

 private:
  PortableState() = default;
  Result<const Slot*> find(std::string_view name) const;

  std::vector<Slot> slots_;
  mutable std::atomic<bool> in_use_{false};
};

// `count` elements from one type to another, both contiguous. Floating types convert among each
// other and integers (bool included) among each other, as numbers; float16 rounds to nearest even.
Status convert_elements(DataType from, const std::byte* source, DataType to, std::byte* destination,
                        size_t count);

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_PORTABLE_STATE_H_
