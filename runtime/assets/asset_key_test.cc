#include "runtime/assets/asset_key.h"

#include <gtest/gtest.h>

#include <set>

#include "runtime/assets/layout.h"
#include "runtime/assets/testing_models.h"

namespace coreml_delegate::assets {
namespace {

TEST(AssetKeyTest, NameIsAnEntryName) {
  EXPECT_TRUE(is_entry_name(test_key(1).name()));
  EXPECT_FALSE(is_entry_name("../" + test_key(1).name().substr(3)));
  EXPECT_FALSE(is_entry_name(""));
}

TEST(AssetKeyTest, EqualKeysHaveOneName) { EXPECT_EQ(test_key(1).name(), test_key(1).name()); }

TEST(AssetKeyTest, EveryFieldChangesTheName) {
  std::set<std::string> names = {test_key(1).name(), test_key(2).name()};
  for (std::string AssetKey::*field :
       {&AssetKey::engine, &AssetKey::fingerprint, &AssetKey::platform, &AssetKey::compute_units,
        &AssetKey::function, &AssetKey::numeric_mode}) {
    AssetKey key = test_key(1);
    key.*field += "x";
    names.insert(key.name());
  }
  EXPECT_EQ(names.size(), 8u);
}

TEST(AssetKeyTest, FieldsDoNotRunIntoEachOther) {
  AssetKey a = test_key(1);
  AssetKey b = test_key(1);
  a.engine = "ab";
  a.fingerprint = "c";
  b.engine = "a";
  b.fingerprint = "bc";
  EXPECT_NE(a.name(), b.name());
}

// Entries of installed apps are found again only if this never changes by accident.
TEST(AssetKeyTest, NameIsAsInTheDocumentation) {
  // Computed with Python's hashlib.
  EXPECT_EQ(AssetKey{}.name(), "4f90120ea93d3917d4d0e888fac9d28f5d79241ee69cb675b732c206bedad2e4");
}

TEST(AssetKeyTest, PlatformIsNamedAndStays) {
  EXPECT_FALSE(platform_fingerprint().empty());
  EXPECT_EQ(platform_fingerprint(), platform_fingerprint());
}

}  // namespace
}  // namespace coreml_delegate::assets
