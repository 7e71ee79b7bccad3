#ifndef COREML_DELEGATE_RUNTIME_DELEGATE_SHARED_STATES_H_
#define COREML_DELEGATE_RUNTIME_DELEGATE_SHARED_STATES_H_

// The states of loaded functions. Methods that one loaded program has in one model, a prefill and a
// decode, say, share them; every other method has its own.

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "base/sha256.h"
#include "base/status.h"
#include "base/tensor_type.h"
#include "runtime/engine/engine.h"

namespace coreml_delegate {

// One set of states. Executions and resets hold the mutex, so that those of the functions that
// share it happen one after the other.
struct StateHolder {
  Mutex mutex;
  // Never null. An execution that must be taken back replaces it.
  std::unique_ptr<engine::State> state COREML_DELEGATE_GUARDED_BY(mutex);
  const std::string made_by;            // "function prefill of method prefill", for messages.
  const std::vector<TensorSpec> specs;  // Sorted by name.
  const std::shared_ptr<engine::Model> maker;  // Lives as long as what it made.

  // As engine::Model::make_state() of `model`, which has states.
  static Result<std::shared_ptr<StateHolder>> make(
      std::string made_by, std::shared_ptr<engine::Model> model,
      const std::vector<engine::InitialStateValue>& initial);

 private:
  StateHolder(std::unique_ptr<engine::State> made, std::string by, std::vector<TensorSpec> of,
              std::shared_ptr<engine::Model> model);
};

// The states that functions share, by loaded program and content. They last as long as some
// function uses them.
//
// Thread rule: any thread.
class SharedStates {
 public:
  // What identifies a loaded program: the address of its named data, which lives as long as its
  // methods; and the content of the model, of which a program may have several.
  using Key = std::pair<const void*, Sha256Digest>;

  // The states under `key` where a function has them, else those that `make` makes. A function has
  // them whole: corrupt_data where its states, `specs`, are not those of the function that made
  // them.
  Result<std::shared_ptr<StateHolder>> find_or_make(
      const Key& key, const std::vector<TensorSpec>& specs,
      const std::function<Result<std::shared_ptr<StateHolder>>()>& make);

 private:
  Mutex mutex_;
  std::map<Key, std::weak_ptr<StateHolder>> holders_ COREML_DELEGATE_GUARDED_BY(mutex_);
};

}  // namespace coreml_delegate

#endif  // COREML_DELEGATE_RUNTIME_DELEGATE_SHARED_STATES_H_
