#include "runtime/engine/portable/compiled_folder.h"

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>
#include <streambuf>
#include <utility>

#include "base/json_members.h"
#include "runtime/engine/portable/shared_weights.h"

namespace coreml_delegate::engine::portable {

namespace {

constexpr char kGraphFile[] = "graph.ov";
constexpr char kWeightsFile[] = "weights.bin";
constexpr char kDescriptionFile[] = "description.json";
constexpr char kFormat[] = "coreml_delegate portable 3";

// What OpenVINO exports into: a file that it may go back in, as it does to fill in its header.
class ExportBuffer : public std::streambuf {
 public:
  explicit ExportBuffer(WritableFile& file) : file_(file) {}

  uint64_t size() const { return size_; }
  // After everything was written.
  Status finish() {
    flush();
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
    ByteSpan bytes = as_bytes(std::string_view(text, static_cast<size_t>(count)));
    if (!status_.ok()) return 0;
    if (position_ < size_) {
      const ByteSpan old = bytes.first(std::min<uint64_t>(bytes.size(), size_ - position_));
      if (!flush()) return 0;
      status_ = file_.patch(position_, old);
      if (!status_.ok()) return 0;
      position_ += old.size();
      bytes = bytes.subspan(old.size());
    }
    size_ += bytes.size();
    position_ += bytes.size();
    return append(bytes) ? count : 0;
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

  bool append(ByteSpan bytes) {
    if (pending_.size() + bytes.size() > kPendingBytes && !flush()) return false;
    if (bytes.size() > kPendingBytes) return write(bytes);
    pending_ += as_text(bytes);
    return true;
  }
  bool flush() {
    const bool written = write(as_bytes(pending_));
    pending_.clear();
    return written;
  }
  bool write(ByteSpan bytes) {
    if (status_.ok() && !bytes.empty()) status_ = file_.append(bytes);
    return status_.ok();
  }

  WritableFile& file_;
  std::string pending_;
  uint64_t position_ = 0;
  uint64_t size_ = 0;
  Status status_;
};

// Writes the parts where there are any; `*size` is what the file then has.
Status write_weights(FileSystem& files, const std::string& path, const std::vector<Bytes>& parts,
                     uint64_t* size) {
  *size = 0;
  if (parts.empty()) return {};
  COREML_DELEGATE_ASSIGN_OR_RETURN(const std::unique_ptr<WritableFile> file, files.create(path));
  constexpr std::byte kPadding[kWeightAlignment] = {};
  for (const Bytes& part : parts) {
    COREML_DELEGATE_RETURN_IF_ERROR(file->append(part.span()));
    *size += part.size();
    const uint64_t padding = (kWeightAlignment - *size % kWeightAlignment) % kWeightAlignment;
    if (padding != 0) COREML_DELEGATE_RETURN_IF_ERROR(file->append(ByteSpan(kPadding, padding)));
    *size += padding;
    // Of a mapped file: not all of it at once.
    release_pages(part);
  }
  COREML_DELEGATE_RETURN_IF_ERROR(file->sync());
  return file->close();
}

}  // namespace

Status write_compiled_folder(FileSystem& files, const std::string& folder,
                             const CompiledFolder& content,
                             const std::function<Status(std::ostream&)>& export_graph) {
  COREML_DELEGATE_ASSIGN_OR_RETURN(const std::unique_ptr<WritableFile> graph,
                                   files.create(join_path(folder, kGraphFile)));
  ExportBuffer buffer(*graph);
  std::ostream stream(&buffer);
  const Status exported = export_graph(stream);
  // What the file refused explains what the exporter says.
  COREML_DELEGATE_RETURN_IF_ERROR(buffer.finish());
  COREML_DELEGATE_RETURN_IF_ERROR(exported);
  if (!stream.good())
    return internal_error("the compiled graph was not written completely", folder);
  COREML_DELEGATE_RETURN_IF_ERROR(graph->sync());
  COREML_DELEGATE_RETURN_IF_ERROR(graph->close());

  uint64_t weights_bytes = 0;
  COREML_DELEGATE_RETURN_IF_ERROR(
      write_weights(files, join_path(folder, kWeightsFile), content.weight_parts, &weights_bytes));

  const nlohmann::json json = {
      {"format", kFormat},
      {"request", content.request},
      {"graph_bytes", buffer.size()},
      {"weights_bytes", weights_bytes},
      {"function", to_json(content.plan)},
  };
  const std::string text =
      json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  COREML_DELEGATE_RETURN_IF_ERROR(
      write_file(files, join_path(folder, kDescriptionFile), as_bytes(text), Durability::kSynced));
  return files.sync_directory(folder);
}

Result<CompiledFolder> read_compiled_folder(const FileSystem& files, const std::string& folder) {
  const auto missing = [&](const Status& status) {
    return status.code() == StatusCode::kNotFound
               ? status.annotate_as(StatusCode::kCorruptData,
                                    "the folder was not compiled by the portable engine", folder)
               : status;
  };
  const std::string description_path = join_path(folder, kDescriptionFile);
  const std::string graph_path = join_path(folder, kGraphFile);
  Result<Bytes> description = files.map(description_path);
  if (!description.ok()) return missing(description.status());
  // Format 1 had a line with a checksum behind the first.
  const std::string_view text = as_text(description->span());
  const nlohmann::json json = nlohmann::json::parse(text.substr(0, text.find('\n')), nullptr,
                                                    /*allow_exceptions=*/false);
  if (!json.is_object()) {
    return corrupt_data("the description is not a JSON object", description_path);
  }
  if (string_member(json, "format") != kFormat) {
    return failed_precondition("the folder has the format \"" + string_member(json, "format") +
                                   "\" instead of \"" + kFormat + "\"",
                               folder);
  }
  CompiledFolder content;
  content.request = string_member(json, "request");

  Result<Bytes> graph = files.map(graph_path);
  if (!graph.ok()) return missing(graph.status());
  content.graph = *std::move(graph);
  const nlohmann::json* const graph_bytes = find_member(json, "graph_bytes");
  if (graph_bytes == nullptr || !graph_bytes->is_number_unsigned() ||
      graph_bytes->get<uint64_t>() != content.graph.size()) {
    return corrupt_data("the compiled graph has " + std::to_string(content.graph.size()) +
                            " bytes, but the description says otherwise",
                        graph_path);
  }
  const nlohmann::json* const weights_bytes = find_member(json, "weights_bytes");
  if (weights_bytes == nullptr || !weights_bytes->is_number_unsigned()) {
    return corrupt_data("the description does not say how many bytes of weights there are",
                        description_path);
  }
  if (weights_bytes->get<uint64_t>() != 0) {
    const std::string weights_path = join_path(folder, kWeightsFile);
    Result<Bytes> weights = files.map(weights_path);
    if (!weights.ok()) return missing(weights.status());
    content.weights = *std::move(weights);
    if (weights_bytes->get<uint64_t>() != content.weights.size()) {
      return corrupt_data("the weights have " + std::to_string(content.weights.size()) +
                              " bytes, but the description says otherwise",
                          weights_path);
    }
  }
  Result<FunctionPlan> plan = function_plan_from_json(string_member(json, "function"));
  if (!plan.ok()) return plan.status().annotate("cannot read a compiled folder", description_path);
  content.plan = *std::move(plan);
  return content;
}

}  // namespace coreml_delegate::engine::portable
