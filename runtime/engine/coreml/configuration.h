#ifndef COREML_DELEGATE_RUNTIME_ENGINE_COREML_CONFIGURATION_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_COREML_CONFIGURATION_H_

// Objective-C++; call inside guarded().

#import <CoreML/CoreML.h>

#include <string>

#include "runtime/engine/engine.h"

namespace coreml_delegate::engine::coreml {

// Autoreleased. `function`: in place of the options' own; the empty one is the default. What the system is too old for is left out,
// as core_ml_engine.h says.
MLModelConfiguration* make_configuration(const LoadOptions& options, const std::string& function);

}  // namespace coreml_delegate::engine::coreml

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_COREML_CONFIGURATION_H_
