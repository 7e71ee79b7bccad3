#include "runtime/engine/portable/compiled_folder.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <ostream>
#include <streambuf>
#include <utility>
#include <vector>

#include "runtime/engine/option_names.h"
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

// How far into its stream OpenVINO goes back, to fill its header in at the end.
constexpr uint64_t kHeadBytes = 4096;

// What OpenVINO exports into. Its header comes first and is known last, and files are written from
// front to back: so a graph is exported twice, first to nothing, which tells the header, then to
// the file, with the header of the first time.
class ExportBuffer : public std::streambuf {
 public:
  // To nothing.
  ExportBuffer() = default;
  // To `file`, beginning with `head`.
  ExportBuffer(WritableFile& file, std::string head) : file_(&file), known_head_(std::move(head)) {}

  // The first bytes as they are at the end.
  const std::string& head() const { return head_; }
  uint64_t size() const { return size_; }
  uint64_t checksum() const { return checksum_.value(); }
  // After everything was written.
  Status finish() {
    flush();
    if (status_.ok() && file_ != nullptr && head_ != known_head_) {
      return internal_error("OpenVINO exported the same graph in two ways");
    }
    return status_;
  }

 protected:
  int_type overflow(int_type character) override {
    if (traits_type::eq_int_type(character, traits_type::eof()))
      return traits_type::not_eof(character);
    const char text = traits_type::to_char_type(character);
    return xsputn(&text, 1) == 1 ? character : traits_type::eof();
  }
  std::streamsize xsputn(const char* text, std::streamsize count) override {
    const std::string_view bytes(text, static_cast<size_t>(count));
    if (!status_.ok()) return 0;
    if (position_ < size_) return rewrite(bytes) ? count : 0;
    if (size_ < kHeadBytes) head_ += bytes.substr(0, kHeadBytes - size_);
    std::string replaced;
    std::string_view written = bytes;
    if (file_ != nullptr && size_ < known_head_.size()) {
      replaced = bytes;
      replaced.replace(0, std::min<size_t>(replaced.size(), known_head_.size() - size_),
                       known_head_.substr(size_, bytes.size()));
      written = replaced;
    }
    size_ += bytes.size();
    position_ = size_;
    return append(written) ? count : 0;
  }
  int sync() override { return flush() ? 0 : -1; }
  pos_type seekoff(off_type offset, std::ios_base::seekdir direction,
                   std::ios_base::openmode) override {
    const uint64_t base = direction == std::ios_base::beg   ? 0
                          : direction == std::ios_base::cur ? position_
                                                            : size_;
    const off_type target = static_cast<off_type>(base) + offset;
    if (target < 0 || static_cast<uint64_t>(target) > size_) return pos_type(off_type(-1));
    position_ = static_cast<uint64_t>(target);
    return pos_type(target);
  }
  pos_type seekpos(pos_type position, std::ios_base::openmode mode) override {
    return seekoff(off_type(position), std::ios_base::beg, mode);
  }

 private:
  static constexpr size_t kPendingBytes = size_t{1} << 20;

  bool rewrite(std::string_view bytes) {
    if (position_ + bytes.size() > head_.size()) {
      status_ = internal_error("OpenVINO rewrote a part of the exported graph behind its header");
      return false;
    }
    head_.replace(position_, bytes.size(), bytes);
    position_ += bytes.size();
    return true;
  }
  bool append(std::string_view bytes) {
    if (file_ == nullptr) return true;
    if (pending_.size() + bytes.size() > kPendingBytes && !flush()) return false;
    if (bytes.size() > kPendingBytes) return write(bytes);
    pending_ += bytes;
    return true;
  }
  bool flush() {
    const bool written = write(pending_);
    pending_.clear();
    return written;
  }
  bool write(std::string_view bytes) {
    if (!status_.ok() || bytes.empty()) return status_.ok();
    checksum_.update(as_bytes(bytes));
    status_ = file_->append(as_bytes(bytes));
    return status_.ok();
  }

  WritableFile* file_ = nullptr;
  std::string known_head_;
  std::string head_;
  std::string pending_;
  uint64_t position_ = 0;
  uint64_t size_ = 0;
  Checksum checksum_;
  Status status_;
};

Status export_to(ExportBuffer& buffer, const std::function<Status(std::ostream&)>& export_graph) {
  std::ostream stream(&buffer);
  const Status exported = export_graph(stream);
  // What the file refused explains what the exporter says.
  RETURN_IF_ERROR(buffer.finish());
  RETURN_IF_ERROR(exported);
  return stream.good() ? Status() : internal_error("the compiled graph was not written whole");
}

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
  ExportBuffer trial;
  RETURN_IF_ERROR(export_to(trial, export_graph));
  ExportBuffer buffer(*graph, trial.head());
  RETURN_IF_ERROR(export_to(buffer, export_graph));
  RETURN_IF_ERROR(close(*graph));

  const nlohmann::json json = {
      {"format", kFormat},
      {"fingerprint", content.fingerprint},
      {"numeric_mode", name_of(kNumericModeNames, content.numeric_mode)},
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
  const nlohmann::json json =
      nlohmann::json::parse(text.begin(), text.end() - kTail, nullptr, /*allow_exceptions=*/false);
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
  const std::string mode = string_member("numeric_mode");
  const std::optional<NumericMode> named = value_of(kNumericModeNames, mode);
  if (!named) {
    return corrupt_data("there is no numeric mode \"" + mode + "\"", folder);
  }
  content.numeric_mode = *named;

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
