#ifndef COREML_DELEGATE_RUNTIME_ASSETS_LAYOUT_H_
#define COREML_DELEGATE_RUNTIME_ASSETS_LAYOUT_H_

// Where the store keeps what, below the folder it was given:
//
//   coreml-delegate-1/
//     entries/NAME/           one compiled model; NAME is AssetKey::name()
//       content/              what the engine wrote
//       manifest.json         what it is and the checksums of content/
//       lease                 locked, shared, by everybody who uses the entry
//     staging/NAME/           being compiled by who holds locks/NAME.lock
//     trash/*                 was an entry, goes when nobody uses it
//     private/*               of one process, which has locked its `lease`
//     locks/NAME.lock         held, exclusively, to publish or to take away NAME
//     locks/sweep             held, exclusively, by who sweeps
//     index.db                order of use and sizes; can be lost
//
// Nothing in a file says where the folder is: it may be moved.

#include <string>
#include <string_view>

#include "base/file.h"

namespace coreml_delegate::assets {

inline constexpr char kContentFolder[] = "content";
inline constexpr char kManifestFile[] = "manifest.json";
inline constexpr char kLeaseFile[] = "lease";
// What the names of private folders without a lease begin with: there were no locks.
inline constexpr char kUnlockedPrefix[] = "p.";

struct Layout {
  explicit Layout(const std::string& given)
      : root(join_path(given, "coreml-delegate-1")),
        entries(join_path(root, "entries")),
        staging(join_path(root, "staging")),
        trash(join_path(root, "trash")),
        private_folders(join_path(root, "private")),
        locks(join_path(root, "locks")),
        sweep_lock(join_path(locks, "sweep")),
        index(join_path(root, "index.db")) {}

  std::string entry(const std::string& name) const { return join_path(entries, name); }
  std::string lock(const std::string& name) const { return join_path(locks, name + ".lock"); }

  const std::string root;
  const std::string entries;
  const std::string staging;
  const std::string trash;
  const std::string private_folders;
  const std::string locks;
  const std::string sweep_lock;
  const std::string index;
};

// Whether it can be an entry's name: 64 lower-case hexadecimal digits.
inline bool is_entry_name(std::string_view name) {
  return name.size() == 64 && name.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace coreml_delegate::assets

#endif  // COREML_DELEGATE_RUNTIME_ASSETS_LAYOUT_H_
