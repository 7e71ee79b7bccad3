#include "base/sha256.h"

#include <algorithm>
#include <bit>
#include <cstring>

#if defined(__x86_64__) && (defined(__clang__) || defined(__GNUC__))
#define COREML_DELEGATE_SHA_NI 1
#include <immintrin.h>

#include "base/cpu_features.h"
#endif

namespace coreml_delegate {
namespace {

constexpr size_t kBlockBytes = 64;

alignas(16) constexpr uint32_t kRoundConstants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

uint32_t load_big_endian(const std::byte* bytes) {
  return static_cast<uint32_t>(bytes[0]) << 24 | static_cast<uint32_t>(bytes[1]) << 16 |
         static_cast<uint32_t>(bytes[2]) << 8 | static_cast<uint32_t>(bytes[3]);
}

void compress_portable(uint32_t* state, const std::byte* blocks, size_t count) {
  for (; count > 0; --count, blocks += kBlockBytes) {
    uint32_t schedule[64];
    for (int i = 0; i < 16; ++i) schedule[i] = load_big_endian(blocks + 4 * i);
    for (int i = 16; i < 64; ++i) {
      const uint32_t low = schedule[i - 15];
      const uint32_t high = schedule[i - 2];
      schedule[i] = schedule[i - 16] + schedule[i - 7] +
                    (std::rotr(low, 7) ^ std::rotr(low, 18) ^ (low >> 3)) +
                    (std::rotr(high, 17) ^ std::rotr(high, 19) ^ (high >> 10));
    }
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    for (int i = 0; i < 64; ++i) {
      const uint32_t first = h + (std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25)) +
                             ((e & f) ^ (~e & g)) + kRoundConstants[i] + schedule[i];
      const uint32_t second =
          (std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
      h = g;
      g = f;
      f = e;
      e = d + first;
      d = c;
      c = b;
      b = a;
      a = first + second;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
    state[4] += e, state[5] += f, state[6] += g, state[7] += h;
  }
}

#ifdef COREML_DELEGATE_SHA_NI

// Intel's SHA extensions: four rounds per message word group, the state held as ABEF and CDGH.
__attribute__((target("sha,sse4.1,ssse3"))) void compress_sha_ni(uint32_t* state,
                                                                 const std::byte* blocks,
                                                                 size_t count) {
  const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bll, 0x0405060700010203ll);
  __m128i low = _mm_loadu_si128(reinterpret_cast<const __m128i*>(state));
  __m128i high = _mm_loadu_si128(reinterpret_cast<const __m128i*>(state + 4));
  low = _mm_shuffle_epi32(low, 0xb1);
  high = _mm_shuffle_epi32(high, 0x1b);
  __m128i abef = _mm_alignr_epi8(low, high, 8);
  __m128i cdgh = _mm_blend_epi16(high, low, 0xf0);
  for (; count > 0; --count, blocks += kBlockBytes) {
    const __m128i abef_before = abef;
    const __m128i cdgh_before = cdgh;
    __m128i words[4];
    for (int i = 0; i < 4; ++i) {
      words[i] = _mm_shuffle_epi8(
          _mm_loadu_si128(reinterpret_cast<const __m128i*>(blocks + 16 * i)), swap);
    }
    for (int group = 0; group < 16; ++group) {
      const __m128i current = words[group & 3];
      __m128i sum = _mm_add_epi32(
          current, _mm_load_si128(reinterpret_cast<const __m128i*>(kRoundConstants + 4 * group)));
      cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
      sum = _mm_shuffle_epi32(sum, 0x0e);
      abef = _mm_sha256rnds2_epu32(abef, cdgh, sum);
      if (group < 12) {
        // The four words that are sixteen later take the place of the current ones.
        const __m128i next1 = words[(group + 1) & 3];
        const __m128i next2 = words[(group + 2) & 3];
        const __m128i next3 = words[(group + 3) & 3];
        __m128i later = _mm_sha256msg1_epu32(current, next1);
        later = _mm_add_epi32(later, _mm_alignr_epi8(next3, next2, 4));
        words[group & 3] = _mm_sha256msg2_epu32(later, next3);
      }
    }
    abef = _mm_add_epi32(abef, abef_before);
    cdgh = _mm_add_epi32(cdgh, cdgh_before);
  }
  low = _mm_shuffle_epi32(abef, 0x1b);
  high = _mm_shuffle_epi32(cdgh, 0xb1);
  abef = _mm_blend_epi16(low, high, 0xf0);
  cdgh = _mm_alignr_epi8(high, low, 8);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(state), abef);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(state + 4), cdgh);
}

#endif  // COREML_DELEGATE_SHA_NI

using Compress = void (*)(uint32_t*, const std::byte*, size_t);

Compress choose_compress(Sha256::Implementation implementation) {
#ifdef COREML_DELEGATE_SHA_NI
  static const bool has_sha =
      cpu_features().has({CpuFeature::kSha, CpuFeature::kSse41, CpuFeature::kSsse3});
  if (has_sha && implementation == Sha256::Implementation::kFastest) return compress_sha_ni;
#else
  (void)implementation;
#endif
  return compress_portable;
}

}  // namespace

Sha256::Sha256(Implementation implementation)
    : compress_(choose_compress(implementation)),
      state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
             0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19} {}

void Sha256::update(ByteSpan bytes) {
  if (bytes.empty()) return;
  size_t buffered = length_ % kBlockBytes;
  length_ += bytes.size();
  if (buffered > 0) {
    const size_t taken = std::min(bytes.size(), kBlockBytes - buffered);
    std::memcpy(buffer_.data() + buffered, bytes.data(), taken);
    bytes = bytes.subspan(taken);
    buffered += taken;
    if (buffered < kBlockBytes) return;
    compress_(state_.data(), buffer_.data(), 1);
  }
  const size_t blocks = bytes.size() / kBlockBytes;
  compress_(state_.data(), bytes.data(), blocks);
  bytes = bytes.subspan(blocks * kBlockBytes);
  if (!bytes.empty()) std::memcpy(buffer_.data(), bytes.data(), bytes.size());
}

Sha256Digest Sha256::finish() {
  const uint64_t bits = length_ * 8;
  constexpr size_t kLengthAt = kBlockBytes - 8;
  std::array<std::byte, kBlockBytes> padding{std::byte{0x80}};
  const size_t buffered = length_ % kBlockBytes;
  const size_t padding_size =
      buffered < kLengthAt ? kLengthAt - buffered : kBlockBytes + kLengthAt - buffered;
  update(ByteSpan(padding).first(padding_size));
  std::array<std::byte, 8> length;
  for (size_t i = 0; i < 8; ++i) length[i] = static_cast<std::byte>(bits >> (56 - 8 * i));
  update(length);
  Sha256Digest digest;
  for (size_t i = 0; i < digest.size(); ++i) {
    digest[i] = static_cast<uint8_t>(state_[i / 4] >> (24 - 8 * (i % 4)));
  }
  return digest;
}

Sha256Digest sha256(ByteSpan bytes) {
  Sha256 hash;
  hash.update(bytes);
  return hash.finish();
}

std::string to_hex(const Sha256Digest& digest) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(2 * digest.size());
  for (const uint8_t byte : digest) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

}  // namespace coreml_delegate
