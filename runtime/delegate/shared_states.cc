#include "runtime/delegate/shared_states.h"

#include <algorithm>

namespace coreml_delegate {
namespace {

std::vector<TensorSpec> by_name(std::vector<TensorSpec> specs) {
  std::sort(specs.begin(), specs.end(),
            [](const TensorSpec& a, const TensorSpec& b) { return a.name < b.name; });
  return specs;
}

std::string list(const std::vector<TensorSpec>& specs) {
  std::string text;
  for (const TensorSpec& spec : specs) text += (text.empty() ? "" : ", ") + spec.to_string();
  return text;
}

}  // namespace

StateHolder::StateHolder(std::unique_ptr<engine::State> made, std::string by,
                         std::vector<TensorSpec> of, std::shared_ptr<engine::Model> model)
    : state(std::move(made)),
      made_by(std::move(by)),
      specs(std::move(of)),
      maker(std::move(model)) {}

Result<std::shared_ptr<StateHolder>> StateHolder::make(
    std::string made_by, std::shared_ptr<engine::Model> model,
    const std::vector<engine::InitialStateValue>& initial) {
  COREML_DELEGATE_ASSIGN_OR_RETURN(std::unique_ptr<engine::State> state,
                                   model->make_state(initial));
  std::vector<TensorSpec> specs = by_name(model->description().states);
  return std::shared_ptr<StateHolder>(
      new StateHolder(std::move(state), std::move(made_by), std::move(specs), std::move(model)));
}

Result<std::shared_ptr<StateHolder>> SharedStates::find_or_make(
    const Key& key, const std::vector<TensorSpec>& specs,
    const std::function<Result<std::shared_ptr<StateHolder>>()>& make) {
  const MutexLock lock(mutex_);
  std::erase_if(holders_, [](const auto& entry) { return entry.second.expired(); });
  const auto found = holders_.find(key);
  if (found == holders_.end()) {
    COREML_DELEGATE_ASSIGN_OR_RETURN(std::shared_ptr<StateHolder> made, make());
    holders_.emplace(key, made);
    return made;
  }
  // Between the sweep and here its last user may have let it go.
  const std::shared_ptr<StateHolder> holder = found->second.lock();
  if (!holder) {
    COREML_DELEGATE_ASSIGN_OR_RETURN(std::shared_ptr<StateHolder> made, make());
    found->second = made;
    return made;
  }
  const std::vector<TensorSpec> sorted = by_name(specs);
  if (sorted != holder->specs) {
    return corrupt_data("the method's states (" + list(sorted) + ") are not those of " +
                        holder->made_by + ", with which the method shares them (" +
                        list(holder->specs) + ")");
  }
  return holder;
}

}  // namespace coreml_delegate
