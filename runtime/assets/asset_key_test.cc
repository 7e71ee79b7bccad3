#include "runtime/assets/asset_key.h"

#include <gtest/gtest.h>

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

TEST(AssetKeyTest, ContentAndRequestChangeTheNameAndAttributesDoNot) {
  const AssetKey key = test_key(1);
  AssetKey other_request = key;
  other_request.request += "x";
  AssetKey other_words = key;
  other_words.attributes["engine"] = "of another name";
  EXPECT_NE(key.name(), test_key(2).name());
  EXPECT_NE(key.name(), other_request.name());
  EXPECT_EQ(key.name(), other_words.name());
  EXPECT_NE(key, test_key(2));
  EXPECT_NE(key, other_request);
  EXPECT_EQ(key, other_words);
}

// Entries of installed apps are found again only if this never changes by accident.
TEST(AssetKeyTest, NameIsAsInTheDocumentation) {
  // Computed with Python's hashlib.
  EXPECT_EQ(AssetKey{}.name(), "34a68132f63abe4ad45db11027795c2568d2709afe4b469464cdc66e9a5aed92");
}

}  // namespace
}  // namespace coreml_delegate::assets
