#ifndef COREML_DELEGATE_RUNTIME_ENGINE_DESCRIPTION_JSON_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_DESCRIPTION_JSON_H_

// A function's description as JSON, for the folders that engines compile into.
//
// Thread rule: values and pure functions.

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "base/function_description.h"
#include "base/tensor_type.h"

namespace coreml_delegate::engine {

// An engine may add members, to the object and to those of the tensors.
nlohmann::json to_json(const FunctionDescription& description);

// Reads members of JSON that may hold anything. The first that is not as it must be is remembered,
// and reading goes on with a value that does no harm.
class JsonReader {
 public:
  bool ok() const { return problem_.empty(); }
  const std::string& problem() const { return problem_; }
  void fail(const char* name) {
    if (problem_.empty()) problem_ = name;
  }

  const nlohmann::json& member(const nlohmann::json& object, const char* name);
  const nlohmann::json& array(const nlohmann::json& object, const char* name);
  const nlohmann::json& object(const nlohmann::json& parent, const char* name);
  std::string text(const nlohmann::json& object, const char* name);
  int64_t integer(const nlohmann::json& value, const char* name);
  size_t index(const nlohmann::json& object, const char* name);
  bool flag(const nlohmann::json& object, const char* name);
  DataType data_type(const nlohmann::json& object, const char* name);
  // What to_json() wrote.
  FunctionDescription description(const nlohmann::json& object);

 private:
  TensorSpec spec(const nlohmann::json& object);
  ColorLayout color_layout(const nlohmann::json& value);
  Classifier classifier(const nlohmann::json& object);

  std::string problem_;
};

}  // namespace coreml_delegate::engine

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_DESCRIPTION_JSON_H_
