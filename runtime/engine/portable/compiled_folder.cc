#include "runtime/engine/portable/compiled_folder.h"

#include <charconv>
#include <nlohmann/json.hpp>
#include <ostream>
#include <streambuf>
#include <utility>
#include <vector>

#include "runtime/engine/portable/checksum.h"

namespace coreml_delegate::engine::portable {

namespace {

constexpr char kGraphFile[] = "graph.ov";
constexpr char kDescriptionFile[] = "description.json";
constexpr char kFormat[] = "coreml_delegate portable 1";

std::string to_hex(uint64_t value) {
  char text[17];
  snprintf(text, sizeof(text), "%016llx", static_cast<unsigned long long>(value));
  return text;
}

// A stream into a file that keeps the first failure and sums what passes.
class FileBuffer : public std::streambuf {
 public:
  explicit FileBuffer(WritableFile& file) : file_(file), buffer_(size_t{1} << 20) {
    setp(buffer_.data(), buffer_.data() + buffer_.size());
  }
  Status finish() {
    flush();
    return status_;
  }
  uint64_t size() const { return size_; }
  uint64_t checksum() const { return checksum_.value(); }

 protected:
  int_type overflow(int_type character) override {
    if (!flush()) return traits_type::eof();
    if (!traits_type::eq_int_type(character, traits_type::eof())) {
      *pptr() = traits_type::to_char_type(character);
      pbump(1);
    }
    return traits_type::not_eof(character);
  }
  std::streamsize xsputn(const char* text, std::streamsize count) override {
    if (count < static_cast<std::streamsize>(buffer_.size())) {
      return std::streambuf::xsputn(text, count);
    }
    return flush() && write({text, static_cast<size_t>(count)}) ? count : 0;
  }
  int sync() override { return flush() ? 0 : -1; }
  // OpenVINO asks where it is.
  pos_type seekoff(off_type offset, std::ios_base::seekdir direction,
                   std::ios_base::openmode) override {
    if (offset != 0 || direction != std::ios_base::cur) return pos_type(off_type(-1));
    return static_cast<pos_type>(static_cast<off_type>(size_) + (pptr() - pbase()));
  }

 private:
  bool flush() {
    const bool written = write({pbase(), static_cast<size_t>(pptr() - pbase())});
    setp(buffer_.data(), buffer_.data() + buffer_.size());
    return written;
  }
  bool write(std::string_view text) {
    if (!status_.ok() || text.empty()) return status_.ok();
    status_ = file_.append(as_bytes(text));
    checksum_.update(as_bytes(text));
    size_ += text.size();
    return status_.ok();
  }

  WritableFile& file_;
  std::vector<char> buffer_;
  Checksum checksum_;
  uint64_t size_ = 0;
  Status status_;
};

Status close(WritableFile& file) {
  RETURN_IF_ERROR(file.sync());
  return file.close();
}

}  // namespace

Status write_compiled_folder(FileSystem& files, const std::string& folder,
                             const CompiledFolder& content,
                             const std::function<Status(std::ostream&)>& export_graph) {
  ASSIGN_OR_RETURN(const std::unique_ptr<WritableFile> graph,
                   files.create(join_path(folder, kGraphFile)));
  FileBuffer buffer(*graph);
  std::ostream stream(&buffer);
  const Status exported = export_graph(stream);
  // What the file refused explains what the exporter says.
  RETURN_IF_ERROR(buffer.finish());
  RETURN_IF_ERROR(exported);
  if (!stream.good()) return internal_error("the compiled graph was not written whole", folder);
  RETURN_IF_ERROR(close(*graph));

  const nlohmann::json json = {
      {"format", kFormat},
      {"fingerprint", content.fingerprint},
      {"numeric_mode", content.numeric_mode == NumericMode::kFloat16 ? "float16" : "float32"},
      {"graph_bytes", buffer.size()},
      {"graph_checksum", to_hex(buffer.checksum())},
      {"function", to_json(content.plan)},
  };
  std::string text = json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  text += to_hex(checksum(as_bytes(text))) + "\n";
  ASSIGN_OR_RETURN(const std::unique_ptr<WritableFile> description,
                   files.create(join_path(folder, kDescriptionFile)));
  RETURN_IF_ERROR(description->append(as_bytes(text)));
  RETURN_IF_ERROR(close(*description));
  return files.sync_directory(folder);
}

Result<CompiledFolder> read_compiled_folder(const FileSystem& files, const std::string& folder,
                                            const std::string& fingerprint) {
  const auto missing = [&](const Status& status) {
    return status.code() == StatusCode::kNotFound
               ? status.annotate_as(StatusCode::kCorruptData,
                                    "this is no folder compiled by the portable engine", folder)
               : status;
  };
  const std::string description_path = join_path(folder, kDescriptionFile);
  const std::string graph_path = join_path(folder, kGraphFile);
  Result<Bytes> description = files.map(description_path);
  if (!description.ok()) return missing(description.status());

  // The JSON ends where 17 characters are left: the checksum's digits and a newline.
  const std::string_view text = as_text(description->span());
  constexpr size_t kTail = 17;
  if (text.size() <= kTail ||
      text.substr(text.size() - kTail) !=
          to_hex(checksum(as_bytes(text.substr(0, text.size() - kTail)))) + "\n") {
    return corrupt_data("the description's checksum is wrong", description_path);
  }
  const nlohmann::json json = nlohmann::json::parse(
      text.begin(), text.end() - kTail, nullptr, /*allow_exceptions=*/false);
  const auto string_member = [&](const char* name) {
    const bool there = json.is_object() && json.contains(name) && json[name].is_string();
    return there ? json[name].get<std::string>() : std::string();
  };
  if (string_member("format") != kFormat) {
    return Status(StatusCode::kFailedPrecondition,
                  "the folder has the format \"" + string_member("format") + "\" instead of \"" +
                      kFormat + "\"",
                  folder);
  }
  CompiledFolder content;
  content.fingerprint = string_member("fingerprint");
  if (content.fingerprint != fingerprint) {
    return failed_precondition("the folder was compiled for \"" + content.fingerprint +
                                   "\", this is \"" + fingerprint + "\": compile it again",
                               folder);
  }
  content.numeric_mode =
      string_member("numeric_mode") == "float16" ? NumericMode::kFloat16 : NumericMode::kFloat32;

  Result<Bytes> graph = files.map(graph_path);
  if (!graph.ok()) return missing(graph.status());
  content.graph = *std::move(graph);
  if (!json.contains("graph_bytes") || !json["graph_bytes"].is_number_unsigned() ||
      json["graph_bytes"].get<uint64_t>() != content.graph.size()) {
    return corrupt_data("the compiled graph has " + std::to_string(content.graph.size()) +
                            " bytes, its description says otherwise",
                        graph_path);
  }
  if (to_hex(checksum(content.graph.span())) != string_member("graph_checksum")) {
    return corrupt_data("the compiled graph's checksum is wrong", graph_path);
  }
  Result<FunctionPlan> plan = function_plan_from_json(string_member("function"));
  if (!plan.ok()) return plan.status().annotate("read a compiled folder", description_path);
  content.plan = *std::move(plan);
  return content;
}

}  // namespace coreml_delegate::engine::portable
