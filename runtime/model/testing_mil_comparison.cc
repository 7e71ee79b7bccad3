#include "runtime/model/testing_mil_comparison.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/message.h>

#include <optional>
#include <string>

#include "runtime/model/mil_reader.h"
#include "runtime/model/mil_with_reflection.pb.h"
#include "runtime/model/testing_mil_writer.h"

namespace coreml_delegate::model::testing {

namespace {

// Sets the messages that mil.h has as members, which cannot be missing there.
void set_members(google::protobuf::Message* message) {
  const google::protobuf::Reflection& reflection = *message->GetReflection();
  for (int i = 0; i < message->GetDescriptor()->field_count(); ++i) {
    const google::protobuf::FieldDescriptor* const field = message->GetDescriptor()->field(i);
    if (field->cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE) continue;
    if (field->is_repeated()) {
      for (int item = 0; item < reflection.FieldSize(*message, field); ++item) {
        set_members(reflection.MutableRepeatedMessage(message, field, item));
      }
    } else if (field->containing_oneof() == nullptr || reflection.HasField(*message, field)) {
      set_members(reflection.MutableMessage(message, field));
    }
  }
}

std::optional<std::string> through_protobuf(ByteSpan bytes, int max_depth) {
  with_reflection::Model model;
  google::protobuf::io::CodedInputStream input(reinterpret_cast<const uint8_t*>(bytes.data()),
                                               static_cast<int>(bytes.size()));
  // It does not count the outermost.
  input.SetRecursionLimit(max_depth - 1);
  if (!model.ParseFromCodedStream(&input) || !input.ConsumedEntireMessage()) return std::nullopt;
  model.DiscardUnknownFields();
  set_members(&model);
  std::string text;
  {
    google::protobuf::io::StringOutputStream stream(&text);
    google::protobuf::io::CodedOutputStream output(&stream);
    output.SetSerializationDeterministic(true);
    (void)model.ByteSizeLong();  // Caches the sizes.
    model.SerializeWithCachedSizes(&output);
  }
  return text;
}

}  // namespace

Comparison compare_readers(ByteSpan specification, int max_depth) {
  const std::optional<mil::Model> ours = read_specification(specification, max_depth);
  const std::optional<std::string> theirs = through_protobuf(specification, max_depth);
  if (!ours && !theirs) return Comparison::kSame;
  if (!ours) return Comparison::kOnlyProtobufs;
  if (!theirs) return Comparison::kOnlyOurs;
  return write_message(*ours) == *theirs ? Comparison::kSame : Comparison::kDifferent;
}

}  // namespace coreml_delegate::model::testing
