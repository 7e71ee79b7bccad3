// Loads model.pte from the app's bundle, runs its method "forward" on a number, and shows the result.
//
// The model is one of a float32 input of shape [1], such as tests/end_to_end/testdata/sin_float32.pte. The delegate registers itself when the program
// starts (runtime:coremldelegate is linked whole).

import ExecuTorch
import SwiftUI

@main
struct DelegateApp: App {
  var body: some Scene {
    WindowGroup {
      ContentView()
    }
  }
}

struct ContentView: View {
  @State private var text = "…"

  var body: some View {
    Text(text)
      .padding()
      .task { text = await Task.detached { describeRun() }.value }
  }
}

/// One number per line, or what went wrong.
func describeRun() -> String {
  guard let path = Bundle.main.path(forResource: "model", ofType: "pte") else {
    return "model.pte is not in the app's bundle."
  }
  do {
    let module = Module(filePath: path)
    try module.load("forward")
    let input = Tensor<Float>([0.5], shape: [1])
    guard let output: Tensor<Float> = try module.forward(input).first?.tensor() else {
      return "The model's output is not a float32 tensor."
    }
    return output.scalars().map { String(format: "%.6f", $0) }.joined(separator: "\n")
  } catch {
    return "The model cannot be run: \(error)"
  }
}
