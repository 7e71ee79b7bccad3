#ifndef COREML_DELEGATE_BASE_UTF8_H_
#define COREML_DELEGATE_BASE_UTF8_H_

#include <string_view>

namespace coreml_delegate {

// Whether `text` is well-formed UTF-8 (Unicode, table 3-7): no overlong form, no surrogate, nothing
// above U+10FFFF. NUL is a character like any other.
bool is_valid_utf8(std::string_view text);

}  // namespace coreml_delegate

#endif  // COREML_DELEGATE_BASE_UTF8_H_
