// Deformable sampling: u_t = sum_k b_tk x(p_t + a_k + o_tk), Eq. 3 of arXiv 2512.02727 (Eq. 2 with one axis).
#pragma once

#include "bilinear.h"

namespace {

using dfmamba::SampleArgs;

// Calls visit(k, point) for every anchor k of one token and group whose point touches the map. `offset` is that of
// their first anchor.
template <typename T, typename Visit>
inline void for_points(const SampleArgs<T>& args, int64_t row, int64_t column, const T* offset, const Visit& visit) {
  const Map map{args.height, args.width, 0, args.channels};
  Point<T> point;
  int64_t k = 0;
  for (int64_t dy = -args.radius_y; dy <= args.radius_y; ++dy) {
    for (int64_t dx = -args.radius_x; dx <= args.radius_x; ++dx, ++k) {
      const T* o = offset + k * args.axes;
      const T y = static_cast<T>(row + dy) + (args.axes == 2 ? o[0] : T(0));
      const T x = static_cast<T>(column + dx) + o[args.axes - 1];
      if (locate(map, y, x, point)) visit(k, point);
    }
  }
}

// Lists the pixels that u of one token and group is made of, and their shares; returns how many. `first` is the number
// of their first anchor in the whole batch.
template <typename T>
inline int64_t list_corners(const SampleArgs<T>& args, int64_t row, int64_t column, int64_t first, Corner<T>* corners) {
  int64_t count = 0;
  for_points(args, row, column, args.offset + first * args.axes, [&](int64_t k, const Point<T>& point) {
    count = append_corners(point, args.weight[first + k], corners, count);
  });
  return count;
}

template <typename T>
void gather(const SampleArgs<T>& args, int64_t begin, int64_t end, Corner<T>* scratch, T* u) {
  const int64_t group_channels = args.channels / args.groups;
  for (int64_t token = begin; token < end; ++token) {
    const T* image = args.x + token / args.length * args.length * args.channels;
    const int64_t row = token % args.length / args.width, column = token % args.length % args.width;
    for (int64_t g = 0; g < args.groups; ++g) {
      const int64_t count = list_corners(args, row, column, (token * args.groups + g) * args.anchors, scratch);
      const GatherTile<T> tile{image, scratch, count, u + token * args.channels};
      for_tiles<T>(g * group_channels, (g + 1) * group_channels, tile);
    }
  }
}

template <typename T>
void scatter(const SampleArgs<T>& args, int64_t image, int64_t first, int64_t last, Corner<T>* scratch, T* grad_x) {
  const int64_t group = first / (args.channels / args.groups);
  T* grad_image = grad_x + image * args.length * args.channels;
  for (int64_t t = 0; t < args.length; ++t) {
    const int64_t token = image * args.length + t, anchor = (token * args.groups + group) * args.anchors;
    const int64_t count = list_corners(args, t / args.width, t % args.width, anchor, scratch);
    for_tiles<T>(first, last, ScatterTile<T>{grad_image, scratch, count, args.grad_u + token * args.channels});
  }
}

template <typename T>
void gather_grad(const SampleArgs<T>& args, int64_t begin, int64_t end, T* grad_offset, T* grad_weight) {
  const int64_t group_channels = args.channels / args.groups;
  for (int64_t token = begin; token < end; ++token) {
    const T* image = args.x + token / args.length * args.length * args.channels;
    const int64_t row = token % args.length / args.width, column = token % args.length % args.width;
    for (int64_t g = 0; g < args.groups; ++g) {
      const int64_t first = (token * args.groups + g) * args.anchors;
      T* to_offset = grad_offset + first * args.axes;
      for (int64_t k = 0; k < args.anchors; ++k) grad_weight[first + k] = 0;
      for (int64_t i = 0; i < args.anchors * args.axes; ++i) to_offset[i] = 0;
      for_points(args, row, column, args.offset + first * args.axes, [&](int64_t k, const Point<T>& point) {
        const int64_t channel = g * group_channels;
        const auto grads =
            point_grads(point, image, args.grad_u + token * args.channels, channel, channel + group_channels);
        const T b = args.weight[first + k];
        grad_weight[first + k] = grads.weight;
        if (args.axes == 2) to_offset[2 * k] = b * grads.y;
        to_offset[args.axes * (k + 1) - 1] = b * grads.x;
      });
    }
  }
}

}  // namespace
