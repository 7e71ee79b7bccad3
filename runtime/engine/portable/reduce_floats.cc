#include "runtime/engine/portable/reduce_floats.h"

#include <algorithm>
#include <limits>

#include "runtime/engine/portable/parallel.h"

namespace coreml_delegate::engine::portable {
namespace {

// Accumulators that a row is dealt out to, so that additions do not wait for each other.
constexpr size_t kLanes = 16;
// Columns that are reduced side by side: their accumulators stay in the first-level cache.
constexpr size_t kColumns = 512;
// Elements below which a part is not worth a thread.
constexpr size_t kFewestElements = 1 << 14;

// An axis, or several of one kind that lie next to each other.
struct Group {
  size_t extent;
  bool is_reduced;
};

std::vector<Group> merged(const std::vector<size_t>& shape, const std::vector<bool>& is_reduced) {
  std::vector<Group> groups;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == 1) continue;
    if (!groups.empty() && groups.back().is_reduced == is_reduced[i]) {
      groups.back().extent *= shape[i];
    } else {
      groups.push_back({shape[i], is_reduced[i]});
    }
  }
  return groups;
}

size_t product(const std::vector<Group>& groups, bool of_reduced) {
  size_t result = 1;
  for (const Group& group : groups) {
    if (group.is_reduced == of_reduced) result *= group.extent;
  }
  return result;
}

struct Sum {
  static constexpr double kStart = 0.0;
  static double combine(double total, double value) { return total + value; }
};
// Once NaN, a total stays so: nothing compares with it.
struct Maximum {
  static constexpr double kStart = -std::numeric_limits<double>::infinity();
  static double combine(double total, double value) {
    return ((value > total) | (value != value)) ? value : total;
  }
};
struct Minimum {
  static constexpr double kStart = std::numeric_limits<double>::infinity();
  static double combine(double total, double value) {
    return ((value < total) | (value != value)) ? value : total;
  }
};

template <typename Rule>
double reduce_row(const float* x, size_t count) {
  double lanes[kLanes];
  std::fill_n(lanes, kLanes, Rule::kStart);
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (size_t k = 0; k < kLanes; ++k)
      lanes[k] = Rule::combine(lanes[k], static_cast<double>(x[i + k]));
  }
  for (size_t k = 0; i < count; ++i, ++k)
    lanes[k] = Rule::combine(lanes[k], static_cast<double>(x[i]));
  double total = Rule::kStart;
  for (const double lane : lanes) total = Rule::combine(total, lane);
  return total;
}

// `columns` (kColumns at most) of `count` rows that lie `stride` elements apart.
template <typename Rule>
void reduce_columns(const float* x, size_t count, size_t stride, size_t columns, double divisor,
                    float* result) {
  double totals[kColumns];
  std::fill_n(totals, columns, Rule::kStart);
  for (size_t i = 0; i < count; ++i) {
    const float* const row = x + i * stride;
    for (size_t k = 0; k < columns; ++k)
      totals[k] = Rule::combine(totals[k], static_cast<double>(row[k]));
  }
  for (size_t k = 0; k < columns; ++k) result[k] = static_cast<float>(totals[k] / divisor);
}

// The last axes, any number of them, one thread.
template <typename Rule>
void reduce_part(const float* x, const Group* begin, const Group* end, double* totals) {
  if (begin == end) {
    *totals = Rule::combine(*totals, static_cast<double>(*x));
    return;
  }
  if (begin + 1 == end) {
    if (begin->is_reduced) {
      *totals = Rule::combine(*totals, reduce_row<Rule>(x, begin->extent));
    } else {
      for (size_t k = 0; k < begin->extent; ++k)
        totals[k] = Rule::combine(totals[k], static_cast<double>(x[k]));
    }
    return;
  }
  const std::vector<Group> inner(begin + 1, end);
  const size_t results = product(inner, false);
  const size_t elements = results * product(inner, true);
  for (size_t i = 0; i < begin->extent; ++i) {
    reduce_part<Rule>(x + i * elements, begin + 1, end,
                      begin->is_reduced ? totals : totals + i * results);
  }
}

template <typename Rule>
void reduce(const float* x, std::vector<Group> groups, bool is_mean, float* result) {
  const double divisor = is_mean ? static_cast<double>(product(groups, true)) : 1.0;
  size_t outer = 1;
  if (!groups.empty() && !groups.front().is_reduced) {
    outer = groups.front().extent;
    groups.erase(groups.begin());
  }
  const size_t results = product(groups, false);
  const size_t elements = results * product(groups, true);
  if (groups.size() == 2) {
    // Reduced rows of columns.
    const size_t count = groups[0].extent;
    const size_t blocks = (results + kColumns - 1) / kColumns;
    parallel_for(static_cast<int64_t>(outer * blocks), [&](int64_t part) {
      const size_t slice = static_cast<size_t>(part) / blocks;
      const size_t first = static_cast<size_t>(part) % blocks * kColumns;
      reduce_columns<Rule>(x + slice * elements + first, count, results,
                           std::min(kColumns, results - first), divisor,
                           result + slice * results + first);
    });
    return;
  }
  const size_t together = std::max<size_t>(1, kFewestElements / std::max<size_t>(1, elements));
  parallel_for(static_cast<int64_t>((outer + together - 1) / together), [&](int64_t part) {
    std::vector<double> totals(results);
    const size_t begin = static_cast<size_t>(part) * together;
    for (size_t slice = begin; slice < std::min(outer, begin + together); ++slice) {
      std::fill(totals.begin(), totals.end(), Rule::kStart);
      reduce_part<Rule>(x + slice * elements, groups.data(), groups.data() + groups.size(),
                        totals.data());
      for (size_t k = 0; k < results; ++k)
        result[slice * results + k] = static_cast<float>(totals[k] / divisor);
    }
  });
}

}  // namespace

void reduce_floats(FloatReduction kind, const float* x, const std::vector<size_t>& shape,
                   const std::vector<bool>& is_reduced, float* result) {
  const std::vector<Group> groups = merged(shape, is_reduced);
  if (product(groups, false) == 0) return;
  switch (kind) {
    case FloatReduction::kSum:
      return reduce<Sum>(x, groups, false, result);
    case FloatReduction::kMean:
      return reduce<Sum>(x, groups, true, result);
    case FloatReduction::kMaximum:
      return reduce<Maximum>(x, groups, false, result);
    case FloatReduction::kMinimum:
      return reduce<Minimum>(x, groups, false, result);
  }
}

}  // namespace coreml_delegate::engine::portable
