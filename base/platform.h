#ifndef COREML_DELEGATE_BASE_PLATFORM_H_
#define COREML_DELEGATE_BASE_PLATFORM_H_

#include <string>

namespace coreml_delegate {

// What of the system decides whether something that was compiled here can be used here later. Apple
// systems: the system's build, whose Core ML compiles models, and the device's model. Elsewhere
// programs bring their compiler along, and the system's and the processor's names are enough:
// "Linux x86_64".
std::string platform_name();

}  // namespace coreml_delegate

#endif  // COREML_DELEGATE_BASE_PLATFORM_H_
