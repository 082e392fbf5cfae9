// What the kernels of sample_backward.cu and sample_backward_fast.cuh share.

#pragma once

#include "sampling.cuh"

namespace dfmamba::cuda {
namespace {

constexpr int kWarps = 4;

template <typename T>
struct Arguments {
  Map map;
  int64_t batch;
  int tokens, groups, group_channels, window;
  const T *grad_u, *x, *grad_y;
  const Work<T>* D;
  const Work<T>* offset;
  Array weight;
  T* grad_x;
  Work<T>* grad_offset;
  MutableArray grad_weight;
};

template <typename S>
struct Gradient {
  S weight, y, x;
};

template <typename S>
__device__ __forceinline__ Gradient<S> point_gradient(const Point<S>& point, S weight, const S* r) {
  S along_weight = S(0);
  for (int i = 0; i < 4; ++i) along_weight += corner_share(point, i) * r[i];
  return {along_weight, weight * ((S(1) - point.fx) * (r[2] - r[0]) + point.fx * (r[3] - r[1])),
          weight * ((S(1) - point.fy) * (r[1] - r[0]) + point.fy * (r[3] - r[2]))};
}

}  // namespace
}  // namespace dfmamba::cuda
