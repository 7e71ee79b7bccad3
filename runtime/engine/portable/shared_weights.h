#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_SHARED_WEIGHTS_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_SHARED_WEIGHTS_H_

// Weights that loaded models use where they lie, in a mapped file or a program's memory. Equal ones
// are in memory once: the functions of a package, and models that have a weight in common, all read
// those of the first, and keep them alive. Memory of a program is used by models of that program
// alone (ModelSource::memory), as it may go when the program does.
//
// A compiled folder has its weights in a file of their own, each at a multiple of kWeightAlignment.
// A node of its graph knows a weight by the place in that file and the digest of its bytes.
//
// Thread rule: share_weight() may be called from several threads at once; the rest as it says.

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"

namespace coreml_delegate::engine::portable {

inline constexpr uint64_t kWeightAlignment = 64;

// Bytes equal to `bytes`, whose SHA-256 is `digest` in hexadecimal digits: those of a loaded model
// of the same `memory` where one has them, then the pages of `bytes` are let go; else `bytes`
// itself. What is returned stays where it is as long as a copy of it is alive.
Bytes share_weight(const std::string& memory, const std::string& digest, const Bytes& bytes);

// A weight as a node knows it.
struct PlacedWeight {
  Bytes bytes;         // Empty where there is none.
  int64_t offset = 0;  // In the file of weights.
  std::string digest;
};

// The weights of one graph in the order of their file. Used by one thread.
class WeightLayout {
 public:
  // `memory`: as ModelSource has it.
  explicit WeightLayout(std::string memory = {}) : memory_(std::move(memory)) {}

  // Shares the weight and gives it a place; equal ones have the same.
  PlacedWeight place(const Bytes& bytes);
  // Bytes of the file.
  uint64_t size() const { return size_; }
  const std::vector<PlacedWeight>& weights() const { return weights_; }

 private:
  std::string memory_;
  uint64_t size_ = 0;
  std::vector<PlacedWeight> weights_;
  std::map<std::pair<const std::byte*, size_t>, size_t> by_address_;
  std::map<std::string, size_t> by_digest_;
};

// While it lives, nodes that this thread reads from a compiled graph find their weights in `file`.
class WeightFileScope {
 public:
  explicit WeightFileScope(const Bytes& file);
  ~WeightFileScope();
  WeightFileScope(const WeightFileScope&) = delete;
  WeightFileScope& operator=(const WeightFileScope&) = delete;
};

// The weight of `size` bytes at `offset` of this thread's file of weights, shared. corrupt_data
// where it does not lie in the file, or there is none.
Result<PlacedWeight> find_weight(int64_t offset, uint64_t size, const std::string& digest);

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_SHARED_WEIGHTS_H_
