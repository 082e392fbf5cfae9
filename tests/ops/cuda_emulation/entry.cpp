// The launchers as C functions for ctypes. Arrays of sizes, pointers and flags stand in the order of launch.h.

#include "emulate.h"
#include "launch.h"

using namespace dfmamba::cuda;

namespace {

SampleSizes sample_sizes(const int64_t* s) { return {s[0], s[1], s[2], s[3], s[4], s[5], s[6]}; }
ScanSizes scan_sizes(const int64_t* s) { return {s[0], s[1], s[2], s[3], s[4] != 0}; }

// u, delta, A, B, C, D, delta_bias, x; the flags say whether delta, B, C are wide. After the sizes: row_B and row_C.
ScanInputs scan_inputs(const int64_t* s, void* const* p, const int* wide) {
  return {p[0], {p[1], wide[0] != 0}, p[2], {p[3], wide[1] != 0}, {p[4], wide[2] != 0}, p[5], p[6], p[7], s[5], s[6]};
}

}  // namespace

extern "C" {

// Another device, as it is before any kernel has run on it.
void set_device(int shared_limit, int multiprocessors, int attributes_fail) {
  emulate::machine.shared_limit = shared_limit;
  emulate::machine.multiprocessors = multiprocessors;
  emulate::machine.attributes_fail = attributes_fail != 0;
  emulate::machine.allowed.clear();
  emulate::machine.pending = 0;
}

int pending_error() { return emulate::machine.pending; }
// The least shared memory that a kernel which asked for more than the plain amount has been allowed; 0 if none has.
int64_t least_allowed() {
  size_t least = 0;
  for (const auto& entry : emulate::machine.allowed) least = least == 0 ? entry.second : std::min(least, entry.second);
  return static_cast<int64_t>(least);
}

void set_order(int order) { emulate::machine.order = order; }
const char* failure() { return emulate::machine.failure.c_str(); }

// x, offset, weight, u
int run_sample(int dtype, const int64_t* sizes, void* const* p, const int* wide) {
  return sample(DType(dtype), sample_sizes(sizes), p[0], p[1], {p[2], wide[0] != 0}, p[3], nullptr);
}

// grad_u, x, offset, weight, D, grad_y, grad_x, grad_offset, grad_weight
int run_sample_backward(int dtype, const int64_t* sizes, void* const* p, const int* wide) {
  return sample_backward(DType(dtype), sample_sizes(sizes), p[0], p[1], p[2], {p[3], wide[0] != 0}, {p[4], p[5]}, p[6],
                         p[7], {p[8], wide[0] != 0}, nullptr);
}

// the eight inputs, y
int run_scan(int dtype, const int64_t* sizes, void* const* p, const int* wide) {
  return scan(DType(dtype), scan_sizes(sizes), scan_inputs(sizes, p, wide), p[8], nullptr);
}

int64_t scan_workspace(int dtype, const int64_t* sizes) {
  return static_cast<int64_t>(scan_backward_workspace(DType(dtype), scan_sizes(sizes)));
}

// the eight inputs, grad_y, the eight gradients, workspace
int run_scan_backward(int dtype, const int64_t* sizes, void* const* p, const int* wide) {
  const ScanGradients gradients{p[9],  {p[10], wide[0] != 0}, p[11], {p[12], wide[1] != 0}, {p[13], wide[2] != 0},
                                p[14], p[15],                 p[16]};
  return scan_backward(DType(dtype), scan_sizes(sizes), scan_inputs(sizes, p, wide), p[8], gradients, p[17], nullptr);
}

int run_fits(int dtype, const int64_t* map, const int64_t* sizes, void* x) {
  return dssm_fits(DType(dtype), sample_sizes(map), scan_sizes(sizes), x);
}

// the eight inputs (u unused), offset, weight, y; the fourth flag is for weight
int run_dssm(int dtype, const int64_t* map, const int64_t* sizes, void* const* p, const int* wide) {
  return dssm(DType(dtype), sample_sizes(map), scan_sizes(sizes), p[8], {p[9], wide[3] != 0}, scan_inputs(sizes, p, wide),
              p[10], nullptr);
}
}
