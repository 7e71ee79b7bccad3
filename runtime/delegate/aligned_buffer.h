#ifndef COREML_DELEGATE_RUNTIME_DELEGATE_ALIGNED_BUFFER_H_
#define COREML_DELEGATE_RUNTIME_DELEGATE_ALIGNED_BUFFER_H_

#include <cstddef>
#include <memory>
#include <new>

namespace coreml_delegate {

// Memory at a multiple of 64 bytes that grows and never shrinks; growing loses the content.
class AlignedBuffer {
 public:
  // False when there is no memory; the buffer is then empty.
  bool reserve(size_t size) {
    if (size <= capacity_) return true;
    data_.reset();
    capacity_ = 0;
    data_.reset(static_cast<std::byte*>(::operator new(size, kAlignment, std::nothrow)));
    if (data_ == nullptr) return false;
    capacity_ = size;
    return true;
  }
  std::byte* data() const { return data_.get(); }
  size_t capacity() const { return capacity_; }

 private:
  static constexpr std::align_val_t kAlignment{64};
  struct Deleter {
    void operator()(std::byte* data) const { ::operator delete(data, kAlignment); }
  };
  std::unique_ptr<std::byte, Deleter> data_;
  size_t capacity_ = 0;
};

}  // namespace coreml_delegate

#endif  // COREML_DELEGATE_RUNTIME_DELEGATE_ALIGNED_BUFFER_H_
