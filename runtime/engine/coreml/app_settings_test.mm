#include "runtime/engine/coreml/app_settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <string>

namespace coreml_delegate::engine::coreml {
namespace {

using ::testing::HasSubstr;

// A property list with these entries.
std::string write(const std::string& name, const std::string& entries) {
  const std::string path = std::string(std::getenv("TEST_TMPDIR")) + "/" + name + ".plist";
  std::ofstream(path) << "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                         "<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" "
                         "\"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n"
                         "<plist version=\"1.0\">"
                      << entries << "</plist>\n";
  return path;
}

TEST(AppSettingsTest, KeysOfTheStockDelegate) {
  const auto settings = read_app_settings(write(
      "both", "<dict><key>shouldPrewarmModel</key><true/><key>shouldPrewarmAsset</key><false/>"
              "<key>maxModelsCacheSizeInBytes</key><integer>5000000000</integer></dict>"));
  ASSERT_TRUE(settings.ok()) << settings.status().to_string();
  EXPECT_EQ(settings->warm_up, true);
  EXPECT_EQ(settings->cache_bytes, 5000000000u);
}

TEST(AppSettingsTest, WhatIsNotThereIsNotSet) {
  const auto settings =
      read_app_settings(write("one", "<dict><key>shouldPrewarmModel</key><false/></dict>"));
  ASSERT_TRUE(settings.ok()) << settings.status().to_string();
  EXPECT_EQ(settings->warm_up, false);
  EXPECT_FALSE(settings->cache_bytes.has_value());
}

TEST(AppSettingsTest, AValueOfAnotherKindIsRefusedByItsName) {
  const auto settings = read_app_settings(
      write("kind", "<dict><key>maxModelsCacheSizeInBytes</key><string>much</string></dict>"));
  EXPECT_EQ(settings.status().code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(settings.status().to_string(),
              HasSubstr("value of maxModelsCacheSizeInBytes is no number or boolean"));
  EXPECT_THAT(settings.status().to_string(), HasSubstr("kind.plist"));
  EXPECT_EQ(read_app_settings(write("negative", "<dict><key>maxModelsCacheSizeInBytes</key>"
                                                "<integer>-1</integer></dict>"))
                .status()
                .code(),
            StatusCode::kInvalidArgument);
}

TEST(AppSettingsTest, AFileThatIsNoDictionaryIsCorrupt) {
  EXPECT_EQ(read_app_settings(write("array", "<array/>")).status().code(),
            StatusCode::kCorruptData);
  EXPECT_EQ(read_app_settings("/nowhere/x.plist").status().code(), StatusCode::kCorruptData);
}

TEST(AppSettingsTest, AnAppWithoutTheFileHasNoSettings) {
  const auto settings = app_settings();
  ASSERT_TRUE(settings.ok()) << settings.status().to_string();
  EXPECT_FALSE(settings->warm_up.has_value());
  EXPECT_FALSE(settings->cache_bytes.has_value());
}

}  // namespace
}  // namespace coreml_delegate::engine::coreml
