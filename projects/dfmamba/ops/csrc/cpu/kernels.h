// What the CPU kernels take, and the three builds of them. Plain pointers only: see the note in vector.h.
#pragma once

#include <stdint.h>

namespace dfmamba {

// Arguments of the sampling kernels; token-major and contiguous. T is float or double throughout.
template <typename T>
struct SampleArgs {
  const T* x;       // (batch, length, channels)
  const T* offset;  // (batch, length, groups, anchors, axes)
  const T* weight;  // (batch, length, groups, anchors)
  const T* grad_u;  // (batch, length, channels); backward only
  int64_t batch, length, channels, groups, anchors, axes;
  int64_t height, width;      // one axis is a map of height 1
  int64_t radius_y, radius_x; // of the grid of anchors
};

// One pixel that a sampled value is made of.
template <typename T>
struct Corner {
  int64_t position;  // of its first channel from the start of the image
  T share;
};

// Arguments of the scan kernels; absent ones are null.
template <typename T>
struct ScanArgs {
  const T* u;       // (batch, length, channels)
  const T* delta;   // (batch, length, channels)
  const T* A;       // (channels, states)
  const T* B;       // (batch, length, states), row_B numbers from token to token
  const T* C;       // (batch, length, states), row_C too
  const T* D;       // (channels,)
  const T* bias;    // (channels,)
  const T* skip;    // (batch, length, channels): what D multiplies
  const T* grad_y;  // (batch, length, channels); backward only
  int64_t batch, length, channels, states, row_B, row_C;
  bool softplus;
};

// Results of the scan's backward kernel for one image and a range of channel blocks; absent ones are null.
template <typename T>
struct ScanGrads {
  T* u;      // (batch, length, channels)
  T* delta;  // (batch, length, channels)
  T* skip;   // (batch, length, channels)
  T* A;      // (batch, channels, states), to be summed over the batch, like D and bias
  T* D;      // (batch, channels)
  T* bias;   // (batch, channels)
  T* B;      // (length, states): the part of this image and these channels
  T* C;      // (length, states)
};

// Arguments of the attention kernels; contiguous but for `value`.
template <typename T>
struct AttentionArgs {
  const T* value;        // (batch, pixels, heads, channels): the levels one after the other, each row by row
  int64_t pixel_stride, head_stride;  // numbers from pixel to pixel and from head to head of `value`
  const T* locations;    // (batch, queries, heads, levels, points, 2) as (x, y), from 0 to 1 over a level
  const T* weights;      // (batch, queries, heads, levels, points)
  const T* grad_output;  // (batch, queries, heads, channels); backward only
  const int64_t* sizes;  // (levels, 2) as (height, width)
  int64_t batch, pixels, queries, heads, levels, points, channels;
};

// Results of the attention's backward kernel.
template <typename T>
struct AttentionGrads {
  T* value;      // is added to; in memory like AttentionArgs::value
  T* locations;  // (batch, queries, heads, levels, points, 2)
  T* weights;    // (batch, queries, heads, levels, points)
};

template <typename T>
struct Kernels {
  int64_t lanes;  // channels in a vector; a block of the scan is one vector of channels

  // u of the tokens begin..end, counted through all images. `scratch` holds 4 * anchors corners.
  void (*gather)(const SampleArgs<T>&, int64_t begin, int64_t end, Corner<T>* scratch, T* u);
  // Gradients of offset and weight of the tokens begin..end.
  void (*gather_grad)(const SampleArgs<T>&, int64_t begin, int64_t end, T* grad_offset, T* grad_weight);
  // Adds to grad_x of one image the channels first..last, which lie in one group.
  void (*scatter)(const SampleArgs<T>&, int64_t image, int64_t first, int64_t last, Corner<T>* scratch, T* grad_x);

  // y of one image and one block.
  void (*scan)(const ScanArgs<T>&, int64_t image, int64_t block, T* y);
  // Numbers of scratch that scan_backward needs.
  int64_t (*scan_scratch)(const ScanArgs<T>&, int64_t blocks);
  // Gradients of one image and the blocks first..last. `scratch` is aligned to 64 bytes.
  void (*scan_backward)(const ScanArgs<T>&, int64_t image, int64_t first, int64_t last, T* scratch,
                        const ScanGrads<T>& grads);

  // The outputs (batch, queries, heads, channels) of the queries begin..end, counted through all images. `scratch` holds
  // 4 * levels * points corners.
  void (*attend)(const AttentionArgs<T>&, int64_t begin, int64_t end, Corner<T>* scratch, T* output);
  // Gradients of one image and head.
  void (*attend_backward)(const AttentionArgs<T>&, int64_t image, int64_t head, Corner<T>* scratch,
                          const AttentionGrads<T>& grads);
};

struct KernelSet {
  const char* name;
  Kernels<float> single;
  Kernels<double> twice;
};

extern const KernelSet portable_kernels;
#if defined(__x86_64__)
extern const KernelSet avx2_kernels;
extern const KernelSet avx512_kernels;
#endif

}  // namespace dfmamba
