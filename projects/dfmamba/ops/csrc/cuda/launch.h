// What the CUDA kernels offer to the torch side: raw pointers, sizes, a stream. Needs neither torch nor CUDA headers.
//
// T is the dtype of x (of u in the scan), W the dtype it is computed in: float64 for float64, else float32. Arrays
// are contiguous and token-major, shapes as in ../README.md. Each launcher returns a cudaError_t as an int, 0 for
// success; none of them synchronises, allocates or touches the device's settings.

#pragma once

#include <cstddef>
#include <cstdint>

struct CUstream_st;

namespace dfmamba::cuda {

using Stream = CUstream_st*;

enum class DType { float32, float64, float16, bfloat16 };

// Numbers in W where `wide`, else in T.
struct Array {
  const void* data;
  bool wide;
};

struct MutableArray {
  void* data;
  bool wide;
};

// One axis is a map of height 1 whose offsets hold dx alone.
struct SampleSizes {
  int64_t batch, height, width, axes, channels, groups, anchors;
};

struct ScanSizes {
  int64_t batch, length, channels, states;
  bool softplus;
};

// A, D and delta_bias are in W; D, delta_bias and x may be null. Rows of B and C, that is tokens, lie row_B and row_C
// numbers apart, as they may be slices of something wider.
struct ScanInputs {
  const void* u;
  Array delta;
  const void* A;
  Array B, C;
  const void *D, *delta_bias, *x;
  int64_t row_B, row_C;
};

// grad_x may be null; every other gradient is written, zeros included.
struct ScanGradients {
  void* u;
  MutableArray delta;
  void* A;
  MutableArray B, C;
  void *D, *delta_bias, *x;
};

int sample(DType dtype, const SampleSizes& sizes, const void* x, const void* offset, Array weight, void* u,
           Stream stream);

// `D grad_y`, which sample_backward adds to grad_x; nothing where D is null.
struct Skip {
  const void *D, *grad_y;
};

int sample_backward(DType dtype, const SampleSizes& sizes, const void* grad_u, const void* x, const void* offset,
                    Array weight, const Skip& skip, void* grad_x, void* grad_offset, MutableArray grad_weight,
                    Stream stream);

int scan(DType dtype, const ScanSizes& sizes, const ScanInputs& inputs, void* y, Stream stream);

// Bytes of scratch memory that scan_backward wants, aligned to 16.
size_t scan_backward_workspace(DType dtype, const ScanSizes& sizes);

int scan_backward(DType dtype, const ScanSizes& sizes, const ScanInputs& inputs, const void* grad_y,
                  const ScanGradients& gradients, void* workspace, Stream stream);

// Whether `dssm` can take these sizes on the current device; otherwise call sample, then scan.
bool dssm_fits(DType dtype, const SampleSizes& map, const ScanSizes& sizes, const void* x);

// Sampling and scan in one kernel; inputs.u is ignored, inputs.x is sampled and feeds the skip.
int dssm(DType dtype, const SampleSizes& map, const ScanSizes& sizes, const void* offset, Array weight,
         const ScanInputs& inputs, void* y, Stream stream);

}  // namespace dfmamba::cuda
