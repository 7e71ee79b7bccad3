// swift-tools-version: 5.9
// The delegate for Swift packages and for Xcode. Not run: docs/apple.md.
//
// First build the XCFramework beside this file (README.md). An app depends on the product CoreMLDelegate and on `executorch` of ExecuTorch's own
// package, and calls coreml_delegate_register_backend() before it loads a .pte.

import PackageDescription

let package = Package(
  name: "CoreMLDelegate",
  platforms: [.iOS("17.0")],
  products: [
    .library(name: "CoreMLDelegate", targets: ["CoreMLDelegate"])
  ],
  targets: [
    .binaryTarget(name: "coremldelegate", path: "coremldelegate.xcframework"),
    .target(
      name: "CoreMLDelegate",
      dependencies: ["coremldelegate"],
      path: "Sources/CoreMLDelegate",
      resources: [.copy("PrivacyInfo.xcprivacy")],
      linkerSettings: [
        .linkedFramework("CoreML"),
        .linkedFramework("Foundation"),
        .linkedLibrary("c++"),
        .linkedLibrary("sqlite3"),
      ]),
  ]
)
