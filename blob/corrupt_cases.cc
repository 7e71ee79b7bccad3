#include "blob/corrupt_cases.h"

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <utility>

#include "blob/testing_blob.h"

namespace coreml_delegate::blob {
namespace {

constexpr auto kCorrupt = StatusCode::kCorruptData;

std::string golden_bytes() { return written(golden_description()); }

// The golden with one thing changed.
std::string changed(const std::function<void(RawBlob&)>& change) {
  RawBlob raw = raw_golden();
  change(raw);
  return raw.encode();
}

std::string changed_input(const std::function<void(TensorSpec&)>& change) {
  return changed([&](RawBlob& raw) { change(raw.functions[0].inputs[0]); });
}

// A stock payload whose index has `nodes`.
std::string stock(const std::string& nodes, const std::string& data = "0123456789") {
  return flattened(data, "{\"nodes\":[" + nodes + "]}");
}

std::string node(int kind, const std::string& children, int64_t offset = 0, int64_t size = 0) {
  return "{\"name\":\"n\",\"kind\":" + std::to_string(kind) +
         ",\"dataRegion\":{\"offset\":" + std::to_string(offset) +
         ",\"size\":" + std::to_string(size) + "},\"children\":{" + children + "}}";
}

// A stock model with this metadata.json.
std::string stock_model(const std::string& metadata, const std::string& model = "model.mlpackage",
                        bool with_metadata = true) {
  const std::string data = "{}" + metadata;
  const std::string size = std::to_string(metadata.size());
  return stock(
      "{\"kind\":0,\"dataRegion\":{\"offset\":0,\"size\":2}},"
      "{\"kind\":1,\"children\":{\"Manifest.json\":0}},"
      "{\"kind\":0,\"dataRegion\":{\"offset\":2,\"size\":" +
          size +
          "}},"
          "{\"kind\":1,\"children\":{\"" +
          model + "\":1" + (with_metadata ? ",\"metadata.json\":2" : "") + "}}",
      data);
}

constexpr char kSingleMetadata[] =
    "{\"inputNames\":[\"x\"],\"outputNames\":[\"y\"],\"identifier\":\"executorch_1\"}";

void add_table_cases(std::vector<CorruptCase>& cases) {
  const std::string golden = golden_bytes();
  cases.push_back({"empty", StatusCode::kUnsupported, "none of the formats", ""});
  cases.push_back({"unknown_format", StatusCode::kUnsupported, "none of the formats",
                   "these are not the bytes of a model"});
  cases.push_back(
      {"header_cut_short", StatusCode::kUnsupported, "none of the formats", golden.substr(0, 11)});
  cases.push_back({"size_prefix_beyond_end", kCorrupt, "reaches beyond the blob's",
                   std::string("\xff\xff\xff\x7f", 4) + golden.substr(4, 100)});
  std::string prefix = golden;
  prefix[0] = 16, prefix[1] = prefix[2] = prefix[3] = 0;
  cases.push_back({"size_prefix_too_small", kCorrupt, "the table is damaged", prefix});
  std::string root = golden;
  root[4] = '\xf0', root[5] = '\xff';
  cases.push_back({"root_offset_beyond_table", kCorrupt, "the table is damaged", root});
  cases.push_back({"content_of_unknown_type", StatusCode::kVersionTooNew, "content of type 9",
                   encode_unknown_content(9)});
  cases.push_back({"content_of_no_type", kCorrupt, "neither a blob nor a reference",
                   encode_unknown_content(0)});
  cases.push_back({"major_version_zero", kCorrupt, "major version 0",
                   changed([](RawBlob& raw) { raw.major_version = 0; })});
  cases.push_back({"major_version_newer", StatusCode::kVersionTooNew,
                   "format version 2.0, and this runtime reads versions up to 1; upgrade",
                   changed([](RawBlob& raw) { raw.major_version = 2; })});
  cases.push_back({"kind_unknown", kCorrupt, "the kind 2 is not known",
                   changed([](RawBlob& raw) { raw.kind = 2; })});
  cases.push_back({"kind_of_newer_minor_version", StatusCode::kVersionTooNew, "upgrade",
                   changed([](RawBlob& raw) { raw.kind = 2, raw.minor_version = 1000; })});
  cases.push_back({"alignment_zero", kCorrupt, "the alignment 0 is not a power of two",
                   changed([](RawBlob& raw) { raw.alignment = 0; })});
  cases.push_back({"alignment_no_power_of_two", kCorrupt, "the alignment 48",
                   changed([](RawBlob& raw) { raw.alignment = 48; })});
  cases.push_back({"alignment_too_large", kCorrupt, "the alignment 131072",
                   changed([](RawBlob& raw) { raw.alignment = 131072; })});
  cases.push_back({"payload_cut_short", kCorrupt, "the blob is cut short",
                   golden.substr(0, golden.size() - 1)});
  cases.push_back({"payload_missing", kCorrupt, "the blob is cut short", changed([](RawBlob& raw) {
                     raw.payload_size = raw.payload.size();
                     raw.payload.clear();
                   })});
  cases.push_back({"payload_size_wraps_around", kCorrupt, "the blob is cut short",
                   changed([](RawBlob& raw) { raw.payload_size = ~uint64_t{0} - 10; })});
  cases.push_back({"bytes_behind_payload", kCorrupt, "1 bytes behind its payload", golden + 'x'});
  cases.push_back({"content_id_too_short", kCorrupt, "content identifier has 31 bytes",
                   changed([](RawBlob& raw) { raw.content_id = std::vector<uint8_t>(31); })});
  cases.push_back({"content_id_of_other_content", kCorrupt, "the content identifier is 0000",
                   changed([](RawBlob& raw) { raw.content_id = std::vector<uint8_t>(32); })});
}

void add_file_cases(std::vector<CorruptCase>& cases) {
  const auto with_path = [](const std::string& path) {
    return changed([&](RawBlob& raw) { raw.files[0].path = path; });
  };
  cases.push_back({"no_files", kCorrupt, "the blob has no files",
                   changed([](RawBlob& raw) { raw.files.clear(); })});
  cases.push_back({"path_empty", kCorrupt, "the path is empty", with_path("")});
  cases.push_back(
      {"path_absolute", kCorrupt, "the path is absolute [/etc/passwd]", with_path("/etc/passwd")});
  cases.push_back(
      {"path_leaves_folder", kCorrupt, "component . or .. [../outside]", with_path("../outside")});
  cases.push_back({"path_with_dot", kCorrupt, "component . or ..", with_path("a/./b")});
  cases.push_back({"path_with_empty_component", kCorrupt, "empty component", with_path("a//b")});
  cases.push_back({"path_ends_in_slash", kCorrupt, "ends in a slash", with_path("a/")});
  cases.push_back({"path_with_nul", kCorrupt, "NUL", with_path(std::string("a\0b", 3))});
  cases.push_back({"path_not_utf8", kCorrupt, "UTF-8", with_path("a\xc0\x80")});
  cases.push_back(
      {"path_component_too_long", kCorrupt, "255 bytes", with_path(std::string(256, 'a'))});
  std::string deep = "d";
  for (int i = 0; i < 64; ++i) deep += "/d";
  cases.push_back({"path_too_deep", kCorrupt, "64 components", with_path(deep)});
  cases.push_back(
      {"path_twice", kCorrupt, "exclude each other [Manifest.json]", with_path("Manifest.json")});
  cases.push_back(
      {"path_below_a_file", kCorrupt, "exclude each other", with_path("Manifest.json/below")});
  cases.push_back({"checksum_too_long", kCorrupt, "the file's checksum has 33 bytes",
                   changed([](RawBlob& raw) { raw.files[1].checksum.push_back(0); })});
  // The weights are file 3, sorted by path; 300 bytes.
  const auto with_range = [](uint64_t offset, uint64_t size) {
    return changed([&](RawBlob& raw) { raw.files[2].offset = offset, raw.files[2].size = size; });
  };
  cases.push_back(
      {"file_beyond_payload", kCorrupt, "reach beyond the payload", with_range(1 << 20, 300)});
  cases.push_back(
      {"file_ends_beyond_payload", kCorrupt, "reach beyond the payload", with_range(64, 1 << 20)});
  cases.push_back({"file_range_wraps_around", kCorrupt, "reach beyond the payload",
                   with_range(~uint64_t{0} - 63, 128)});
  cases.push_back(
      {"file_offset_unaligned", kCorrupt, "not a multiple of the alignment", with_range(65, 10)});
  cases.push_back(
      {"files_overlap", kCorrupt, "the bytes of the file overlap those of", with_range(0, 300)});
  cases.push_back({"named_data_missing", StatusCode::kNotFound, "'no_such_key'",
                   changed([](RawBlob& raw) { raw.files[2].named_data_key = "no_such_key"; })});
  cases.push_back({"named_data_of_other_size", kCorrupt, "has 300 bytes instead of 301",
                   changed([](RawBlob& raw) {
                     raw.files[2].named_data_key = kGoldenWeightKey;
                     raw.files[2].size = 301;
                   })});
  cases.push_back({"named_data_key_empty", kCorrupt, "the named-data key of",
                   changed([](RawBlob& raw) { raw.files[2].named_data_key = ""; })});
  std::string flipped = golden_bytes();
  flipped.back() = static_cast<char>(flipped.back() ^ 1);
  cases.push_back({"file_content_changed", kCorrupt, "the file is damaged [Manifest.json]", flipped,
                   /*verify_checksums=*/true});
}

void add_function_cases(std::vector<CorruptCase>& cases) {
  const auto with_function = [](const std::function<void(Function&)>& change) {
    // "main", with two inputs, two outputs and two states.
    return changed([&](RawBlob& raw) { change(raw.functions[1]); });
  };
  cases.push_back({"no_functions", kCorrupt, "the blob has no function",
                   changed([](RawBlob& raw) { raw.functions.clear(); })});
  cases.push_back({"function_name_empty", kCorrupt, "the name of a function is empty",
                   with_function([](Function& f) { f.name = ""; })});
  cases.push_back({"function_name_twice", kCorrupt, "two functions have this name",
                   with_function([](Function& f) { f.name = "prefill"; })});
  cases.push_back({"function_name_with_nul", kCorrupt, "contains NUL",
                   with_function([](Function& f) { f.name = std::string("a\0", 2); })});
  cases.push_back({"function_name_too_long", kCorrupt, "more than 4096 bytes",
                   with_function([](Function& f) { f.name = std::string(4097, 'a'); })});
  cases.push_back({"input_name_twice", kCorrupt, "input 'x': the name occurs twice",
                   with_function([](Function& f) { f.inputs[1].name = "x"; })});
  cases.push_back({"output_name_twice", kCorrupt, "output 'y': the name occurs twice",
                   with_function([](Function& f) { f.outputs[1].name = "y"; })});
  cases.push_back({"state_name_of_an_input", kCorrupt, "state 'x': the name occurs twice",
                   with_function([](Function& f) { f.states[0].tensor.name = "x"; })});
  cases.push_back({"state_of_variable_shape", kCorrupt, "must have a fixed shape",
                   with_function([](Function& f) { f.states[0].tensor.shape[0].max = 5; })});
  cases.push_back({"state_initial_value_missing", kCorrupt, "not a file of the blob: no/file",
                   with_function([](Function& f) { f.states[1].initial_value_path = "no/file"; })});
  cases.push_back({"state_initial_value_of_other_size", kCorrupt,
                   "has 8 bytes, but the shape needs 10", with_function([](Function& f) {
                     f.states[1].tensor.shape[0] = {5, 5};
                   })});
  cases.push_back(
      {"state_elements_overflow", kCorrupt, "too many elements", with_function([](Function& f) {
         f.states[1].tensor.shape = {{int64_t{1} << 62, int64_t{1} << 62}, {4, 4}};
       })});
  cases.push_back({"dtype_invalid", kCorrupt, "dtype 0 does not exist",
                   changed_input([](TensorSpec& t) { t.dtype = DataType::kInvalid; })});
  cases.push_back({"dtype_unknown", kCorrupt, "the dtype 77 is not known",
                   changed_input([](TensorSpec& t) { t.dtype = static_cast<DataType>(77); })});
  cases.push_back(
      {"dimension_negative", kCorrupt, "negative minimum", changed_input([](TensorSpec& t) {
         t.shape[0] = {-1, -1};
       })});
  cases.push_back({"dimension_empty_range", kCorrupt, "maximum below its minimum",
                   changed_input([](TensorSpec& t) {
                     t.shape[0] = {4, 3};
                   })});
  cases.push_back(
      {"rank_too_high", kCorrupt, "the rank is above 16", changed_input([](TensorSpec& t) {
         t.shape.assign(17, {1, 1});
       })});
  cases.push_back({"enumerated_shape_of_other_rank", kCorrupt, "another rank than the tensor",
                   changed_input([](TensorSpec& t) { t.enumerated_shapes[0] = {1}; })});
  cases.push_back({"enumerated_shape_outside_dimensions", kCorrupt, "outside the dimensions",
                   changed_input([](TensorSpec& t) {
                     t.enumerated_shapes[0] = {1, 33};
                   })});
  cases.push_back({"too_many_enumerated_shapes", kCorrupt, "more than 1024 enumerated",
                   changed_input([](TensorSpec& t) {
                     t.enumerated_shapes.assign(1025, {1, 8});
                   })});
}

void add_reference_cases(std::vector<CorruptCase>& cases) {
  const auto reference = [](const std::function<void(RawReference&)>& change) {
    RawReference raw;
    change(raw);
    return raw.encode();
  };
  cases.push_back({"reference_of_newer_version", StatusCode::kVersionTooNew, "upgrade",
                   reference([](RawReference& r) { r.major_version = 3; })});
  cases.push_back({"reference_key_missing", StatusCode::kNotFound, "[no_such_key]",
                   reference([](RawReference& r) { r.named_data_key = "no_such_key"; })});
  cases.push_back({"reference_key_empty", kCorrupt, "key of a reference is empty",
                   reference([](RawReference& r) { r.named_data_key = ""; })});
  cases.push_back({"reference_function_empty", kCorrupt, "function name of a reference is empty",
                   reference([](RawReference& r) { r.function_name = ""; })});
  cases.push_back({"reference_function_missing", kCorrupt, "the functions are 'main', 'prefill'",
                   reference([](RawReference& r) { r.function_name = "no_such_function"; })});
  cases.push_back({"reference_to_reference", kCorrupt, "a whole blob must be",
                   reference([](RawReference& r) { r.named_data_key = "coreml_reference"; })});
  cases.push_back({"reference_to_weights", kCorrupt, "file identifier CMLB is missing",
                   reference([](RawReference& r) { r.named_data_key = kGoldenWeightKey; })});
  cases.push_back({"bytes_behind_reference", kCorrupt, "a reference has 4 bytes behind it",
                   RawReference().encode() + "more"});

  cases.push_back({"stock_reference_no_json", kCorrupt, "the reference is not JSON", "CMJR{"});
  cases.push_back({"stock_reference_newer_version", StatusCode::kVersionTooNew, "version 2",
                   "CMJR{\"version\":2,\"key\":\"k\",\"functionName\":\"f\"}"});
  cases.push_back({"stock_reference_without_version", kCorrupt, "has no version",
                   "CMJR{\"key\":\"k\",\"functionName\":\"f\"}"});
  cases.push_back({"stock_reference_without_key", kCorrupt, "has no key",
                   "CMJR{\"version\":1,\"functionName\":\"f\"}"});
  cases.push_back({"stock_reference_without_function", kCorrupt, "has no functionName",
                   "CMJR{\"version\":1,\"key\":\"k\",\"functionName\":7}"});
  cases.push_back({"stock_reference_key_missing", StatusCode::kNotFound, "[no_such_key]",
                   "CMJR{\"version\":1,\"key\":\"no_such_key\",\"functionName\":\"f\"}"});
  cases.push_back({"stock_reference_function_missing", kCorrupt, "does not have the function",
                   "CMJR{\"version\":1,\"key\":\"stock_single\",\"functionName\":\"other\"}"});
  cases.push_back({"stock_reference_to_our_blob", kCorrupt,
                   "a stock reference leads to a blob that the stock runtime cannot read",
                   std::string("CMJR{\"version\":1,\"key\":\"") + kGoldenBlobKey +
                       "\",\"functionName\":\"main\"}"});
}

void add_index_cases(std::vector<CorruptCase>& cases) {
  const std::string leaf = node(0, "", 0, 4);
  cases.push_back({"stock_index_only_nuls", StatusCode::kUnsupported, "none of the formats",
                   std::string(100, '\0')});
  cases.push_back({"stock_index_unbalanced", kCorrupt, "its braces do not balance",
                   flattened("", "{\"nodes\":[{}")});
  cases.push_back({"stock_index_string_without_end", kCorrupt, "its braces do not balance",
                   flattened("", "{\"nodes")});
  // Trap: a JSON string that ends in a backslash made the stock reader run out of its buffer.
  cases.push_back({"stock_index_ends_in_backslash", kCorrupt, "its braces do not balance",
                   flattened("", "{\"nodes\\")});
  cases.push_back({"stock_index_escaped_quote", kCorrupt, "its braces do not balance",
                   flattened("", "{\"nodes\\\"}")});
  cases.push_back(
      {"stock_index_malformed", kCorrupt, "is not JSON", flattened("", "{\"nodes\":[,]}")});
  cases.push_back({"stock_index_not_utf8", kCorrupt, "is not JSON in UTF-8",
                   flattened("", "{\"nodes\":[\"\xff\"]}")});
  cases.push_back(
      {"stock_index_deeply_nested", kCorrupt, "nested more than 16 levels",
       flattened("", "{\"nodes\":" + std::string(10'000, '[') + std::string(10'000, ']') + "}")});
  cases.push_back({"stock_index_name_twice", kCorrupt, "the name 'nodes' twice",
                   flattened("", "{\"nodes\":[],\"nodes\":[]}")});
  cases.push_back(
      {"stock_index_without_nodes", kCorrupt, "has no list of nodes", flattened("", "{}")});
  cases.push_back(
      {"stock_nodes_no_list", kCorrupt, "has no list of nodes", flattened("", "{\"nodes\":{}}")});
  cases.push_back({"stock_no_nodes", kCorrupt, "has no node", stock("")});
  cases.push_back(
      {"stock_node_no_object", kCorrupt, "the value is not a JSON object [node 0]", stock("7")});
  cases.push_back({"stock_kind_unknown", kCorrupt,
                   "the node's kind is 2, which is neither 0 nor 1 [node 0]",
                   stock(node(2, "") + "," + node(1, "\"a\":0"))});
  cases.push_back({"stock_kind_no_integer", kCorrupt, "the node's kind is not an integer",
                   stock("{\"kind\":\"1\"}")});
  cases.push_back({"stock_root_is_a_file", kCorrupt, "the root is a file", stock(leaf)});
  cases.push_back({"stock_child_out_of_range", kCorrupt, "the child is node 7, which is not before",
                   stock(node(1, "\"a\":7"))});
  cases.push_back({"stock_child_negative", kCorrupt,
                   "the reference to a child is not an integer of at least 0",
                   stock(leaf + "," + node(1, "\"a\":-1"))});
  cases.push_back({"stock_child_fraction", kCorrupt,
                   "the reference to a child is not an integer of at least 0",
                   stock(leaf + "," + node(1, "\"a\":0.5"))});
  cases.push_back({"stock_child_of_itself", kCorrupt, "the child is node 0, which is not before",
                   stock(node(1, "\"a\":0"))});
  cases.push_back({"stock_cycle", kCorrupt, "the child is node 1, which is not before its parent",
                   stock(node(1, "\"a\":1") + "," + node(1, "\"b\":0"))});
  cases.push_back({"stock_child_twice", kCorrupt, "which is already in a directory",
                   stock(leaf + "," + node(1, "\"a\":0,\"b\":0"))});
  cases.push_back({"stock_child_of_two_directories", kCorrupt, "which is already in a directory",
                   stock(leaf + "," + node(1, "\"a\":0") + "," + node(1, "\"b\":0,\"c\":1"))});
  cases.push_back({"stock_file_with_children", kCorrupt, "the node is a file, but has children",
                   stock(leaf + "," + node(0, "\"a\":0") + "," + node(1, "\"b\":1"))});
  cases.push_back({"stock_directory_with_data", kCorrupt, "the node is a directory, but has data",
                   stock(node(1, "", 0, 4))});
  cases.push_back({"stock_children_no_object", kCorrupt,
                   "the children of the node are not a JSON object",
                   stock("{\"kind\":1,\"children\":[0]}")});
  cases.push_back({"stock_region_no_object", kCorrupt, "the node's dataRegion is not a JSON object",
                   stock("{\"kind\":0,\"dataRegion\":[0,1]}")});
  cases.push_back({"stock_region_beyond_data", kCorrupt, "reach beyond the data",
                   stock(node(0, "", 5, 6) + "," + node(1, "\"a\":0"))});
  // Trap: offset + size wraps around and memory before the blob is read.
  cases.push_back({"stock_region_wraps_around", kCorrupt, "reach beyond the data",
                   stock("{\"kind\":0,\"dataRegion\":{\"offset\":18446744073709551612,"
                         "\"size\":8}}," +
                         node(1, "\"a\":0"))});
  cases.push_back({"stock_offset_negative", kCorrupt,
                   "the node's offset is not an integer of at least 0",
                   stock(node(0, "", -4, 4) + "," + node(1, "\"a\":0"))});
  cases.push_back({"stock_size_too_large_for_an_integer", kCorrupt,
                   "the node's size is not an integer",
                   stock("{\"kind\":0,\"dataRegion\":{\"size\":99999999999999999999}}")});
  cases.push_back({"stock_regions_overlap", kCorrupt,
                   "the data of the node overlaps that of node 0 [node 1]",
                   stock(leaf + "," + node(0, "", 3, 4) + "," + node(1, "\"a\":0,\"b\":1"))});
  // Trap: child names used as path components unchecked let a .pte write outside its folder.
  const std::vector<std::pair<std::string, std::string>> names = {
      {"stock_name_dot_dot", ".."},
      {"stock_name_dot", "."},
      {"stock_name_absolute", "/etc"},
      {"stock_name_with_slash", "../outside"},
      {"stock_name_empty", ""},
      {"stock_name_with_nul", "a\\u0000b"},
      {"stock_name_too_long", std::string(256, 'a')}};
  for (const auto& [name, child] : names) {
    const char* why = child.find('/') != std::string::npos
                          ? "a name contains a slash [node 0]"
                          : "the name of the node is not allowed [node 0]";
    cases.push_back({name, kCorrupt, why, stock(leaf + "," + node(1, "\"" + child + "\":0"))});
  }
  std::string deep = leaf;
  for (int i = 0; i < 65; ++i) deep += "," + node(1, "\"d\":" + std::to_string(i));
  cases.push_back({"stock_tree_too_deep", kCorrupt, "64 components", stock(deep)});
}

void add_stock_model_cases(std::vector<CorruptCase>& cases) {
  cases.push_back({"stock_no_model", kCorrupt, "neither model.mlpackage nor model.mlmodelc",
                   stock_model(kSingleMetadata, "other")});
  cases.push_back({"stock_two_models", kCorrupt, "both model.mlpackage and model.mlmodelc",
                   stock("{\"kind\":1},{\"kind\":1},"
                         "{\"kind\":1,\"children\":{\"model.mlpackage\":0,"
                         "\"model.mlmodelc\":1}}")});
  cases.push_back({"stock_empty_model", kCorrupt, "the model folder has no files [model.mlpackage]",
                   stock("{\"kind\":1},{\"kind\":1,\"children\":{\"model.mlpackage\":0}}")});
  cases.push_back({"stock_without_metadata", kCorrupt, "has no metadata.json",
                   stock_model(kSingleMetadata, "model.mlpackage", /*with_metadata=*/false)});
  cases.push_back(
      {"stock_metadata_no_json", kCorrupt, "metadata.json is not JSON", stock_model("{")});
  cases.push_back({"stock_metadata_no_object", kCorrupt,
                   "the value is not a JSON object [metadata.json]", stock_model("[]")});
  cases.push_back({"stock_metadata_input_names_no_list", kCorrupt, "inputNames is not a list",
                   stock_model("{\"inputNames\":{}}")});
  cases.push_back({"stock_metadata_name_no_string", kCorrupt, "outputNames has an element",
                   stock_model("{\"outputNames\":[1]}")});
  cases.push_back({"stock_metadata_name_twice", kCorrupt, "inputNames has the name 'x' twice",
                   stock_model("{\"inputNames\":[\"x\",\"x\"]}")});
  cases.push_back({"stock_metadata_name_empty", kCorrupt, "a name in inputNames is empty",
                   stock_model("{\"inputNames\":[\"\"]}")});
  cases.push_back({"stock_metadata_no_methods", kCorrupt, "a list of methods that is empty",
                   stock_model("{\"methods\":{}}")});
  cases.push_back({"stock_metadata_method_no_object", kCorrupt, "[method forward of",
                   stock_model("{\"methods\":{\"forward\":[]}}")});
  cases.push_back({"stock_metadata_method_without_name", kCorrupt, "the name of a method",
                   stock_model("{\"methods\":{\"\":{}}}")});
  cases.push_back({"stock_metadata_deeply_nested", kCorrupt, "nested more than 16 levels",
                   stock_model(std::string(17, '[') + std::string(17, ']'))});
}

// A blob for both runtimes in whose part for the stock runtime `from`, which is there once, reads
// `to`, which is as long. The index is changed where `reversed`, else metadata.json.
std::string both_with(std::string from, std::string to, bool reversed = true) {
  std::string bytes = written(both_description());
  if (reversed) {
    std::reverse(from.begin(), from.end());
    std::reverse(to.begin(), to.end());
  }
  const size_t at = bytes.rfind(from);
  // A case that changes nothing is no case: its file is then read, and the test fails.
  if (at == std::string::npos || from.size() != to.size()) return bytes;
  return bytes.replace(at, to.size(), to);
}

// How the index of a blob for both runtimes says where the file of `size` bytes is, and the same
// for a place one byte further on or back.
std::pair<std::string, std::string> moved(uint64_t size) {
  std::string index = written(both_description());
  std::reverse(index.begin(), index.end());
  const std::string before = "\"offset\":";
  const std::string behind = ",\"size\":" + std::to_string(size) + "}";
  const size_t end = index.find(behind);
  const size_t start = end == std::string::npos ? end : index.rfind(before, end);
  if (start == std::string::npos) return {};
  const std::string whole = index.substr(start, end - start) + behind;
  std::string other = whole;
  char& digit = other[end - start - 1];
  digit = digit == '9' ? '8' : static_cast<char>(digit + 1);
  return {whole, other};
}

// Two tables that disagree: each runtime would run something else.
void add_both_cases(std::vector<CorruptCase>& cases) {
  const char* const kDisagrees = "does not agree with the blob itself";
  const auto add = [&](const char* name, const char* message, std::string bytes) {
    cases.push_back({name, kCorrupt, message, std::move(bytes)});
  };
  add("both_file_of_other_size",
      "another place in the stock index, or has another size there [Data/com",
      both_with("\"size\":300", "\"size\":299"));
  add("both_file_with_other_name", "the file is not in the stock index [Manifest.json]",
      both_with("\"Manifest.json\":", "\"Manifest.JSON\":"));
  add("both_without_metadata", kDisagrees, both_with("\"metadata.json\":", "\"metadata.jsom\":"));
  add("both_root_with_path", "the root's name cannot be the name of a folder",
      both_with("lowered_module", "lowered/module"));
  add("both_root_outside", "the root's name cannot be the name of a folder",
      both_with("\"lowered_module\"", "\"/owered_module\""));
  add("both_identifier_of_other_content", "the identifier 'executorcH_",
      both_with("\"identifier\":\"executorch_", "\"identifier\":\"executorcH_", false));
  add("both_other_inputs", "other inputs or outputs than the blob's function prefill",
      both_with("[\"ids\"]", "[\"idx\"]", false));
  add("both_other_outputs", "other inputs or outputs than the blob's function main",
      both_with("[\"y\",\"mask\"]", "[\"mask\",\"y\"]", false));
  add("both_other_function", "the file has the function prefilL, which the blob does not have",
      both_with("\"prefill\":{", "\"prefilL\":{", false));
  const auto add_moved = [&](const char* name, const char* message, uint64_t size) {
    const auto [from, to] = moved(size);
    add(name, message, both_with(from, to));
  };
  add_moved("both_file_at_other_place",
            "another place in the stock index, or has another size there [Data/com",
            golden_files().at(kGoldenWeightPath).size());
  add_moved("both_debug_info_at_other_place",
            "the file is not the blob's debug map [debug_info.json]",
            both_description().debug_map.size());
  add("both_initial_value", "starts with values of its own",
      changed([](RawBlob& raw) { raw.payload += "{}", raw.stock_bytes = 2; }));
  add("both_stock_bytes_beyond_payload", "more than the payload's",
      changed([](RawBlob& raw) { raw.stock_bytes = raw.payload.size() + 1; }));
  const auto zero_states = [](RawBlob& raw) { raw.functions = both_description().functions; };
  add("both_without_index", kDisagrees, changed([&](RawBlob& raw) {
        zero_states(raw);
        raw.payload += "x", raw.stock_bytes = 1;
      }));
  add("both_index_outside_its_bytes", "its braces do not balance", changed([&](RawBlob& raw) {
        zero_states(raw);
        raw.payload += "}{", raw.stock_bytes = 1;
      }));
  add("both_file_among_stock_bytes", "reach beyond the payload", changed([&](RawBlob& raw) {
        zero_states(raw);
        raw.stock_bytes = 1;
      }));
}

}  // namespace

std::vector<CorruptCase> corrupt_cases() {
  std::vector<CorruptCase> cases;
  add_table_cases(cases);
  add_file_cases(cases);
  add_function_cases(cases);
  add_reference_cases(cases);
  add_index_cases(cases);
  add_stock_model_cases(cases);
  add_both_cases(cases);
  return cases;
}

NamedDataLookup corrupt_case_named_data() {
  auto data = std::make_shared<std::map<std::string, Bytes>>();
  data->emplace(kGoldenWeightKey, owning_bytes(golden_files().at(kGoldenWeightPath)));
  data->emplace(kGoldenBlobKey, owning_bytes(golden_bytes()));
  data->emplace(kBothBlobKey, owning_bytes(written(both_description())));
  data->emplace("coreml_reference", owning_bytes(RawReference().encode()));
  data->emplace("stock_single", owning_bytes(stock_model(kSingleMetadata)));
  return [data](const std::string& key) -> Result<Bytes> {
    const auto found = data->find(key);
    if (found == data->end()) return not_found("no such key", key);
    return found->second;
  };
}

}  // namespace coreml_delegate::blob
