// The operators' one declaration, and the Python module that carries them. See README.md for the rules of each.

#include <Python.h>
#include <torch/library.h>

TORCH_LIBRARY(dfmamba, m) {
  m.def("sample(Tensor x, Tensor offset, Tensor weight, SymInt[] size) -> Tensor");
  m.def(
      "sample_backward(Tensor grad_u, Tensor x, Tensor offset, Tensor weight, SymInt[] size)"
      " -> (Tensor grad_x, Tensor grad_offset, Tensor grad_weight)");
  m.def(
      "scan(Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor? D, Tensor? delta_bias, Tensor? x,"
      " bool delta_softplus) -> Tensor");
  m.def(
      "scan_backward(Tensor grad_y, Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor? D,"
      " Tensor? delta_bias, Tensor? x, bool delta_softplus)"
      " -> (Tensor grad_u, Tensor grad_delta, Tensor grad_A, Tensor grad_B, Tensor grad_C, Tensor grad_D,"
      " Tensor grad_delta_bias, Tensor grad_x)");
  m.def(
      "dssm(Tensor x, Tensor offset, Tensor weight, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor? D,"
      " Tensor? delta_bias, SymInt[] size, bool delta_softplus) -> Tensor");
  m.def(
      "dssm_backward(Tensor grad_y, Tensor x, Tensor offset, Tensor weight, Tensor delta, Tensor A, Tensor B, Tensor C,"
      " Tensor? D, Tensor? delta_bias, SymInt[] size, bool delta_softplus)"
      " -> (Tensor grad_x, Tensor grad_offset, Tensor grad_weight, Tensor grad_delta, Tensor grad_A, Tensor grad_B,"
      " Tensor grad_C, Tensor grad_D, Tensor grad_delta_bias)");
  m.def("deformable_attention(Tensor value, Tensor locations, Tensor weights, SymInt[] sizes) -> Tensor");
  m.def(
      "deformable_attention_backward(Tensor grad_output, Tensor value, Tensor locations, Tensor weights,"
      " SymInt[] sizes) -> (Tensor grad_value, Tensor grad_locations, Tensor grad_weights)");
}

// `import dfmamba._C` loads this library, which registers the operators; the module itself is empty.
PyMODINIT_FUNC PyInit__C() {
  static PyModuleDef module = {PyModuleDef_HEAD_INIT, "_C", nullptr, -1, nullptr, nullptr, nullptr, nullptr, nullptr};
  return PyModule_Create(&module);
}
