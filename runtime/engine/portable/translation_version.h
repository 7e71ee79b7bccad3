#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_TRANSLATION_VERSION_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_TRANSLATION_VERSION_H_

#include <string_view>

namespace coreml_delegate::engine::portable {

// A digest of the sources that decide what a compiled folder holds (how a program is read and
// translated, comment lines left out), made by the build: it changes
// whenever they do, so that nobody has to remember to count a version up.
std::string_view translation_version();

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_TRANSLATION_VERSION_H_
