#include "runtime/runner/delegate_options.h"

#include <algorithm>
#include <string>
#include <variant>

#include "runtime/delegate/option_table.h"

namespace coreml_delegate::runner {

using executorch::runtime::BackendOption;

Result<std::vector<BackendOption>> delegate_options(const CommandLine& line) {
  std::vector<BackendOption> options;
  for (const auto& [name, value] : line.delegate) {
    BackendOption option;
    if (name.size() >= sizeof(option.key))
      return internal_error("the option's name is too long", name);
    std::copy_n(name.c_str(), name.size() + 1, option.key);
    if (const std::string* const text = std::get_if<std::string>(&value)) {
      // A longer one would be cut without a word.
      if (text->size() >= option_table::kLongestString) {
        return invalid_argument("the option's value has more than 254 bytes", name);
      }
      option_table::StringValue copy{};
      std::copy(text->begin(), text->end(), copy.begin());
      option.value = copy;
    } else if (const int* const number = std::get_if<int>(&value)) {
      option.value = *number;
    } else {
      option.value = std::get<bool>(value);
    }
    options.push_back(option);
  }
  return options;
}

}  // namespace coreml_delegate::runner
