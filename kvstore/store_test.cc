#include "kvstore/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <random>

#include "kvstore/testing_folder.h"

namespace coreml_delegate::kvstore {

struct Point {
  int32_t x = 0;
  int32_t y = 0;
  bool operator==(const Point&) const = default;
};

template <>
struct Codec<Point> {
  static constexpr CellType kType = CellType::kBlob;
  static constexpr std::string_view kName = "point 1";
  static Cell encode(const Point& point, std::string& scratch) {
    scratch.assign(reinterpret_cast<const char*>(&point), sizeof(point));
    return {0, scratch};
  }
  static Result<Point> decode(const Cell& cell) {
    if (cell.bytes.size() != sizeof(Point)) return corrupt_data("is no point");
    Point point;
    std::memcpy(&point, cell.bytes.data(), sizeof(point));
    return point;
  }
};

namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class StoreTest : public testing::Test {
 protected:
  void SetUp() override { database_ = *Database::open(folder_.at("a.db"), {}); }
  void reopen() {
    database_.reset();
    database_ = *Database::open(folder_.at("a.db"), {});
  }
  template <typename Key, typename Value>
  Store<Key, Value> store(const StoreOptions& options = {}, const std::string& name = "s") {
    return *Store<Key, Value>::open(*database_, name, options);
  }
  template <typename Key, typename Value>
  std::vector<Key> keys(Store<Key, Value>& store, const ScanOptions<Key>& options) {
    std::vector<Key> found;
    EXPECT_TRUE(store
                    .scan(options,
                          [&](const Row<Key, Value>& row) {
                            found.push_back(row.key);
                            return true;
                          })
                    .ok());
    return found;
  }

  TestingFolder folder_;
  std::unique_ptr<Database> database_;
};

TEST_F(StoreTest, PutGetEraseExists) {
  auto s = store<std::string, int64_t>();
  EXPECT_EQ(*s.get("a"), std::nullopt);
  ASSERT_TRUE(s.put("a", 1).ok());
  ASSERT_TRUE(s.put("a", 2).ok());
  EXPECT_EQ(*s.get("a"), 2);
  EXPECT_TRUE(*s.exists("a"));
  EXPECT_EQ(*s.size(), 1);
  EXPECT_TRUE(*s.erase("a"));
  EXPECT_FALSE(*s.erase("a"));
  EXPECT_FALSE(*s.exists("a"));
  EXPECT_EQ(*s.size(), 0);
}

// A total above 2 GiB that went through int turned negative, and eviction never ran again.
TEST_F(StoreTest, IntegersAreNotNarrowed) {
  const std::vector<int64_t> values = {INT64_MIN,
                                       -(int64_t{1} << 53) - 1,
                                       INT32_MIN,
                                       -1,
                                       0,
                                       1,
                                       int64_t{INT32_MAX} + 1,
                                       (int64_t{1} << 53) + 1,
                                       INT64_MAX};
  {
    auto s = store<int64_t, int64_t>();
    for (const int64_t value : values) ASSERT_TRUE(s.put(value, value).ok());
  }
  reopen();
  auto s = store<int64_t, int64_t>();
  for (const int64_t value : values) EXPECT_EQ(*s.get(value), value);
  EXPECT_EQ(keys(s, {}), values);
}

TEST_F(StoreTest, SizesAboveFourGibibytesAddUp) {
  auto s = store<int64_t, int64_t>({.track_size = true});
  const int64_t size = int64_t{5} << 30;
  for (int64_t i = 0; i < 3; ++i) ASSERT_TRUE(s.put(i, 0, size + i).ok());
  EXPECT_EQ(*s.total_size(), 3 * size + 3);
  EXPECT_EQ(s.put(4, 0, -1).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(*s.size(), 3);
}

// A double was read back as an int.
TEST_F(StoreTest, DoublesComeBackBitForBit) {
  const double nan = std::bit_cast<double>(uint64_t{0x7ff8000000000123});
  const std::vector<double> ordered = {-std::numeric_limits<double>::infinity(),
                                       -std::numeric_limits<double>::max(),
                                       -0.5,
                                       -std::numeric_limits<double>::denorm_min(),
                                       -0.0,
                                       0.0,
                                       0.1,
                                       1.0,
                                       4294967296.5,
                                       std::numeric_limits<double>::infinity(),
                                       nan};
  {
    auto s = store<double, double>();
    for (const double value : ordered) ASSERT_TRUE(s.put(value, value).ok());
  }
  reopen();
  auto s = store<double, double>();
  for (const double value : ordered) {
    const std::optional<double> found = *s.get(value);
    ASSERT_TRUE(found.has_value());
    EXPECT_EQ(std::bit_cast<uint64_t>(*found), std::bit_cast<uint64_t>(value));
  }
  const std::vector<double> sorted = keys(s, {});
  ASSERT_EQ(sorted.size(), ordered.size());
  for (size_t i = 0; i < ordered.size(); ++i) {
    EXPECT_EQ(std::bit_cast<uint64_t>(sorted[i]), std::bit_cast<uint64_t>(ordered[i])) << i;
  }
}

TEST_F(StoreTest, StringsKeepNulsAndAnyBytes) {
  const std::string with_nul("a\0b", 3);
  const std::string not_utf8("\xff\x80", 2);
  {
    auto s = store<std::string, std::string>();
    ASSERT_TRUE(s.put(with_nul, not_utf8).ok());
    ASSERT_TRUE(s.put("a", "prefix").ok());
    ASSERT_TRUE(s.put("", "").ok());
    ASSERT_TRUE(s.put(not_utf8, with_nul).ok());
  }
  reopen();
  auto s = store<std::string, std::string>();
  EXPECT_EQ(*s.get(with_nul), not_utf8);
  EXPECT_EQ(*s.get("a"), "prefix");
  EXPECT_EQ(*s.get(""), "");
  EXPECT_EQ(*s.get(not_utf8), with_nul);
  EXPECT_THAT(keys(s, {}), ElementsAre("", "a", with_nul, not_utf8));
}

TEST_F(StoreTest, BlobsAndStructs) {
  const Blob blob = {std::byte{0}, std::byte{255}, std::byte{0}};
  auto blobs = store<Blob, Blob>({}, "blobs");
  ASSERT_TRUE(blobs.put(blob, {}).ok());
  EXPECT_EQ(*blobs.get(blob), Blob());
  auto points = store<Point, Point>({}, "points");
  ASSERT_TRUE(points.put({1, 2}, {-3, 4}).ok());
  EXPECT_EQ(*points.get({1, 2}), (Point{-3, 4}));
}

TEST_F(StoreTest, LargeValue) {
  auto s = store<int64_t, std::string>();
  const std::string large(20'000'000, 'x');
  ASSERT_TRUE(s.put(1, large).ok());
  EXPECT_EQ(*s.get(1), large);
}

TEST_F(StoreTest, StoresOfOneDatabaseAreApart) {
  auto a = store<std::string, int64_t>({}, "a");
  auto b = store<std::string, int64_t>({}, "b; DROP TABLE kv_1");
  ASSERT_TRUE(a.put("k", 1).ok());
  ASSERT_TRUE(b.put("k", 2).ok());
  EXPECT_EQ(*a.get("k"), 1);
  EXPECT_EQ(*b.get("k"), 2);
  EXPECT_THAT(*database_->store_names(), ElementsAre("a", "b; DROP TABLE kv_1"));
  ASSERT_TRUE(database_->drop_store("a").ok());
  EXPECT_EQ(database_->drop_store("a").code(), StatusCode::kNotFound);
  EXPECT_FALSE(a.put("k", 3).ok());
  auto again = store<std::string, int64_t>({}, "a");
  EXPECT_EQ(*again.size(), 0);
  EXPECT_EQ(*b.get("k"), 2);
}

TEST_F(StoreTest, OtherTypesAndOptionsAreRefused) {
  store<std::string, int64_t>();
  const Status types = Store<std::string, double>::open(*database_, "s", {}).status();
  EXPECT_EQ(types.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(types.message(), HasSubstr("string -> int64"));
  EXPECT_EQ(
      (Store<std::string, int64_t>::open(*database_, "s", {.track_size = true}).status().code()),
      StatusCode::kFailedPrecondition);
  auto s = store<std::string, int64_t>();
  EXPECT_EQ(s.touch("a").status().code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(s.total_size().status().code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(s.put("a", 1, 5).code(), StatusCode::kFailedPrecondition);
}

TEST_F(StoreTest, ScansInEveryOrderAndDirection) {
  auto s = store<std::string, int64_t>({.track_access = true, .track_size = true});
  ASSERT_TRUE(s.put("b", 1, 30).ok());
  ASSERT_TRUE(s.put("a", 2, 30).ok());
  ASSERT_TRUE(s.put("c", 3, 10).ok());
  ASSERT_TRUE(*s.touch("b"));
  EXPECT_FALSE(*s.touch("z"));
  EXPECT_THAT(keys(s, {.order = Order::kKey}), ElementsAre("a", "b", "c"));
  EXPECT_THAT(keys(s, {.order = Order::kKey, .descending = true}), ElementsAre("c", "b", "a"));
  EXPECT_THAT(keys(s, {.order = Order::kKey, .from = "aa"}), ElementsAre("b", "c"));
  EXPECT_THAT(keys(s, {.order = Order::kKey, .descending = true, .from = "b"}),
              ElementsAre("b", "a"));
  EXPECT_THAT(keys(s, {.order = Order::kAccess}), ElementsAre("a", "c", "b"));
  EXPECT_THAT(keys(s, {.order = Order::kAccess, .descending = true}), ElementsAre("b", "c", "a"));
  EXPECT_THAT(keys(s, {.order = Order::kSize}), ElementsAre("c", "a", "b"));
  EXPECT_THAT(keys(s, {.order = Order::kSize, .descending = true}), ElementsAre("b", "a", "c"));
}

// An access clock restarted at every open.
TEST_F(StoreTest, AccessOrderGoesOnAfterReopening) {
  for (int64_t i = 0; i < 5; ++i) {
    auto s = store<int64_t, int64_t>({.track_access = true});
    ASSERT_TRUE(s.put(100 - i, i).ok());
    reopen();
  }
  auto s = store<int64_t, int64_t>({.track_access = true});
  EXPECT_THAT(keys(s, {.order = Order::kAccess}), ElementsAre(100, 99, 98, 97, 96));
}

// Eviction bumped what it looked at and never ended.
TEST_F(StoreTest, ReadingAndScanningDoNotCountAsAccess) {
  auto s = store<int64_t, int64_t>({.track_access = true});
  for (int64_t i = 0; i < 3; ++i) ASSERT_TRUE(s.put(i, i).ok());
  EXPECT_EQ(*s.get(0), 0);
  EXPECT_TRUE(*s.exists(0));
  EXPECT_THAT(keys(s, {.order = Order::kAccess}), ElementsAre(0, 1, 2));
  EXPECT_THAT(keys(s, {.order = Order::kAccess}), ElementsAre(0, 1, 2));
}

TEST_F(StoreTest, ScanEndsWhenTheVisitorTouchesWhatItSees) {
  auto s = store<int64_t, int64_t>({.track_access = true});
  for (int64_t i = 0; i < 1000; ++i) ASSERT_TRUE(s.put(i, i).ok());
  int64_t visits = 0;
  ASSERT_TRUE(s.scan({.order = Order::kAccess}, [&](const auto& row) {
                 EXPECT_TRUE(*s.touch(row.key));
                 return ++visits < 5000;
               }).ok());
  EXPECT_EQ(visits, 1000);
}

TEST_F(StoreTest, VisitorMayEraseAndAdd) {
  auto s = store<int64_t, int64_t>({.track_access = true, .track_size = true});
  for (const Order order : {Order::kKey, Order::kAccess, Order::kSize}) {
    ASSERT_TRUE(s.clear().ok());
    for (int64_t i = 0; i < 700; ++i) ASSERT_TRUE(s.put(i, i, i % 7).ok());
    std::map<int64_t, int> visits;
    ASSERT_TRUE(s.scan({.order = order}, [&](const auto& row) {
                   ++visits[row.key];
                   EXPECT_TRUE(s.erase(row.key).ok());
                   return true;
                 }).ok());
    EXPECT_EQ(visits.size(), 700u);
    for (const auto& [key, count] : visits) EXPECT_EQ(count, 1) << key;
    EXPECT_EQ(*s.size(), 0);
  }
}

TEST_F(StoreTest, ScanCrossesPagesAndStopsWhenTold) {
  auto s = store<std::string, std::string>({.track_size = true});
  std::vector<std::string> expected;
  ASSERT_TRUE(database_
                  ->atomically([&]() -> Status {
                    for (int i = 0; i < 600; ++i) {
                      char key[16];
                      std::snprintf(key, sizeof(key), "%05d", i);
                      expected.push_back(key);
                      // Some pages end by their bytes.
                      COREML_DELEGATE_RETURN_IF_ERROR(
                          s.put(key, std::string(i % 100 == 0 ? 1'100'000 : 10, 'x')));
                    }
                    return {};
                  })
                  .ok());
  EXPECT_EQ(keys(s, {}), expected);
  EXPECT_EQ(keys(s, {.order = Order::kSize}).size(), 600u);
  std::reverse(expected.begin(), expected.end());
  EXPECT_EQ(keys(s, {.descending = true}), expected);
  int visits = 0;
  ASSERT_TRUE(s.scan({}, [&](const auto&) { return ++visits < 300; }).ok());
  EXPECT_EQ(visits, 300);
}

TEST_F(StoreTest, DamagedStructIsReportedNotReturned) {
  {
    auto raw = RawStore::open(*database_, {.name = "points",
                                           .key_type = CellType::kInteger,
                                           .key_codec = "int64",
                                           .value_type = CellType::kBlob,
                                           .value_codec = "point 1",
                                           .options = {}});
    ASSERT_TRUE(raw.ok());
    ASSERT_TRUE((*raw)->put({1, {}}, {0, "short"}, std::nullopt).ok());
  }
  auto s = store<int64_t, Point>({}, "points");
  EXPECT_EQ(s.get(1).status().code(), StatusCode::kCorruptData);
  EXPECT_EQ(s.scan({}, [](const auto&) { return true; }).code(), StatusCode::kCorruptData);
}

// The same operations on a std::map.
TEST_F(StoreTest, RandomOperationsAgreeWithAMap) {
  const uint64_t seed = 20260601;
  std::mt19937_64 random(seed);
  auto s = store<std::string, int64_t>({.track_access = true, .track_size = true});
  std::map<std::string, int64_t> model;
  const auto key = [&] { return std::string(random() % 3, '\0') + std::to_string(random() % 40); };
  std::optional<Transaction> transaction = *database_->begin();
  for (int i = 0; i < 5000; ++i) {
    const std::string k = key();
    switch (random() % 5) {
      case 0:
      case 1: {
        const auto value = static_cast<int64_t>(random());
        ASSERT_TRUE(s.put(k, value).ok());
        model[k] = value;
        break;
      }
      case 2:
        ASSERT_EQ(*s.erase(k), model.erase(k) > 0) << "seed " << seed << " step " << i;
        break;
      case 3:
        ASSERT_EQ(*s.touch(k), model.contains(k));
        break;
      default: {
        const auto found = model.find(k);
        ASSERT_EQ(*s.get(k), found == model.end() ? std::nullopt : std::optional(found->second));
      }
    }
  }
  ASSERT_TRUE(transaction->commit().ok());
  std::vector<std::pair<std::string, int64_t>> rows;
  ASSERT_TRUE(s.scan({}, [&](const auto& row) {
                 rows.emplace_back(row.key, row.value);
                 return true;
               }).ok());
  EXPECT_EQ(rows, (std::vector<std::pair<std::string, int64_t>>(model.begin(), model.end())));
  EXPECT_TRUE(database_->check().ok());
}

}  // namespace
}  // namespace coreml_delegate::kvstore
