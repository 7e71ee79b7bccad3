#include "base/utf8.h"

#include <cstddef>
#include <cstdint>

namespace coreml_delegate {

bool is_valid_utf8(std::string_view text) {
  const size_t size = text.size();
  for (size_t i = 0; i < size;) {
    const uint8_t lead = static_cast<uint8_t>(text[i]);
    if (lead < 0x80) {
      ++i;
      continue;
    }
    // The number of continuation bytes, and what the first of them may be.
    size_t more;
    uint8_t low = 0x80;
    uint8_t high = 0xbf;
    if (lead >= 0xc2 && lead <= 0xdf) {
      more = 1;
    } else if (lead >= 0xe0 && lead <= 0xef) {
      more = 2;
      if (lead == 0xe0) low = 0xa0;   // Shorter forms exist below.
      if (lead == 0xed) high = 0x9f;  // Surrogates lie above.
    } else if (lead >= 0xf0 && lead <= 0xf4) {
      more = 3;
      if (lead == 0xf0) low = 0x90;
      if (lead == 0xf4) high = 0x8f;  // U+10FFFF is the last.
    } else {
      return false;
    }
    if (size - i <= more) return false;
    for (size_t k = 1; k <= more; ++k) {
      const uint8_t next = static_cast<uint8_t>(text[i + k]);
      if (next < low || next > high) return false;
      low = 0x80;
      high = 0xbf;
    }
    i += more + 1;
  }
  return true;
}

}  // namespace coreml_delegate
