#include "runtime/engine/helper/helper_command.h"

#include <array>
#include <charconv>
#include <string_view>

namespace coreml_delegate::engine::helper {
namespace {

struct Text {
  std::string_view name;
  std::string HelperCommand::*member;
};
constexpr std::array kTexts = {
    Text{"--engine", &HelperCommand::engine},
    Text{"--request", &HelperCommand::request},
    Text{"--load-request", &HelperCommand::load_request},
    Text{"--package", &HelperCommand::package},
    Text{"--name", &HelperCommand::name},
    Text{"--output", &HelperCommand::output},
};

template <typename T>
bool set_number(std::string_view text, T& value) {
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && rest == text.data() + text.size() && value >= 0;
}

bool set(std::string_view name, std::string_view value, HelperCommand& command) {
  for (const Text& text : kTexts) {
    if (text.name == name) {
      command.*text.member = value;
      return true;
    }
  }
  if (name == "--timeout-seconds") return set_number(value, command.timeout_seconds);
  if (name == "--memory-limit-bytes") return set_number(value, command.memory_limit_bytes);
  if (name == "--parent") return set_number(value, command.parent);
  return false;
}

}  // namespace

std::vector<std::string> to_arguments(const HelperCommand& command) {
  std::vector<std::string> arguments;
  const auto add = [&](std::string_view name, const std::string& value) {
    arguments.push_back(std::string(name) + "=" + value);
  };
  for (const Text& text : kTexts) add(text.name, command.*text.member);
  add("--timeout-seconds", std::to_string(command.timeout_seconds));
  add("--memory-limit-bytes", std::to_string(command.memory_limit_bytes));
  add("--parent", std::to_string(command.parent));
  return arguments;
}

Result<HelperCommand> parse_arguments(const std::vector<std::string>& arguments) {
  HelperCommand command;
  for (const std::string& argument : arguments) {
    const size_t equals = argument.find('=');
    const std::string_view text = argument;
    if (equals == std::string::npos ||
        !set(text.substr(0, equals), text.substr(equals + 1), command)) {
      return invalid_argument("the argument is not understood", argument);
    }
  }
  if (command.package.empty())
    return invalid_argument("the option --package must name the package", "--package");
  if (command.output.empty())
    return invalid_argument("the option --output must name the folder to fill", "--output");
  if (command.name.empty()) command.name = command.package;
  return command;
}

}  // namespace coreml_delegate::engine::helper
