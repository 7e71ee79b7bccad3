#include "runtime/engine/coreml/gnustep/compiled_model.h"

#include <algorithm>
#include <utility>

#include "base/file.h"
#include "inmemoryfs/disk.h"
#include "runtime/engine/portable/portable_engine.h"

namespace coreml_delegate::core_ml_gnustep {

namespace {

engine::Engine& portable_engine() {
  static engine::Engine* const instance = engine::portable::make_portable_engine().release();
  return *instance;
}

std::string package_path(const std::string& folder) { return join_path(folder, "package"); }
std::string function_path(const std::string& folder, size_t index) {
  return join_path(join_path(folder, "functions"), std::to_string(index));
}

Status compile_into(const std::string& package, const std::string& destination) {
  FileSystem& files = real_file_system();
  COREML_DELEGATE_ASSIGN_OR_RETURN(const inmemoryfs::InMemoryFileSystem tree,
                                   inmemoryfs::read_folder(files, package));
  COREML_DELEGATE_ASSIGN_OR_RETURN(const model::Package opened, model::Package::open(tree));
  COREML_DELEGATE_RETURN_IF_ERROR(files.make_directory(destination));
  COREML_DELEGATE_RETURN_IF_ERROR(inmemoryfs::write_folder(files, tree, package_path(destination)));
  COREML_DELEGATE_RETURN_IF_ERROR(files.make_directory(join_path(destination, "functions")));
  const engine::ModelSource source{engine::ModelKind::kPackage, &tree, package};
  for (size_t i = 0; i < opened.function_names().size(); ++i) {
    const std::string folder = function_path(destination, i);
    COREML_DELEGATE_RETURN_IF_ERROR(files.make_directory(folder));
    engine::LoadOptions options;
    options.function_name = opened.function_names()[i];
    COREML_DELEGATE_RETURN_IF_ERROR(portable_engine().compile(source, folder, options));
  }
  return {};
}

}  // namespace

Status compile_package(const std::string& package, const std::string& destination) {
  const Status status = compile_into(package, destination);
  // A destination that was there already is not ours to remove.
  if (!status.ok() && status.code() != StatusCode::kAlreadyExists) {
    (void)real_file_system().remove_tree(destination);
  }
  return status;
}

Result<std::shared_ptr<const CompiledModel>> CompiledModel::open(const std::string& folder) {
  COREML_DELEGATE_ASSIGN_OR_RETURN(
      const inmemoryfs::InMemoryFileSystem tree,
      inmemoryfs::read_folder(real_file_system(), package_path(folder)));
  COREML_DELEGATE_ASSIGN_OR_RETURN(model::Package package, model::Package::open(tree));
  return std::shared_ptr<const CompiledModel>(new CompiledModel(folder, std::move(package)));
}

Result<std::unique_ptr<engine::Model>> CompiledModel::load(const std::string& function) const {
  const std::string& name = function.empty() ? package_.default_function() : function;
  const std::vector<std::string>& names = package_.function_names();
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) return not_found("the model has no function of this name", name);
  return portable_engine().load(function_path(folder_, static_cast<size_t>(found - names.begin())),
                                {});
}

}  // namespace coreml_delegate::core_ml_gnustep
