// Multi-scale deformable attention: each head of a query sums what it reads at its points on every level; Zhu et al.,
// Deformable DETR (ICLR 2021), Eq. 3.
#pragma once

#include "bilinear.h"

namespace {

using dfmamba::AttentionArgs;
using dfmamba::AttentionGrads;

// Calls visit(i, point, map) for every point i of one query and head, counted through all levels, that touches its
// level. `locations` is that of their first point.
template <typename T, typename Visit>
inline void for_level_points(const AttentionArgs<T>& args, int64_t head, const T* locations, const Visit& visit) {
  Map map{0, 0, head * args.head_stride, args.pixel_stride};
  Point<T> point;
  for (int64_t level = 0, i = 0; level < args.levels; ++level) {
    map.height = args.sizes[2 * level], map.width = args.sizes[2 * level + 1];
    for (const int64_t end = i + args.points; i < end; ++i) {
      const T x = locations[2 * i] * static_cast<T>(map.width) - T(0.5);
      const T y = locations[2 * i + 1] * static_cast<T>(map.height) - T(0.5);
      if (locate(map, y, x, point)) visit(i, point, map);
    }
    map.start += map.height * map.width * map.pixel_stride;
  }
}

template <typename T>
void attend(const AttentionArgs<T>& args, int64_t begin, int64_t end, Corner<T>* scratch, T* output) {
  const int64_t points = args.levels * args.points;
  for (int64_t query = begin; query < end; ++query) {
    const T* image = args.value + query / args.queries * args.pixels * args.heads * args.channels;
    for (int64_t head = 0; head < args.heads; ++head) {
      const int64_t row = query * args.heads + head;
      const T* weights = args.weights + row * points;
      int64_t count = 0;
      for_level_points(args, head, args.locations + row * points * 2,
                       [&](int64_t i, const Point<T>& point, const Map&) {
                         count = append_corners(point, weights[i], scratch, count);
                       });
      for_tiles<T>(0, args.channels, GatherTile<T>{image, scratch, count, output + row * args.channels});
    }
  }
}

template <typename T>
void attend_backward(const AttentionArgs<T>& args, int64_t image, int64_t head, Corner<T>* scratch,
                     const AttentionGrads<T>& grads) {
  const int64_t points = args.levels * args.points, numbers = args.pixels * args.heads * args.channels;
  const T* value = args.value + image * numbers;
  for (int64_t query = image * args.queries; query < (image + 1) * args.queries; ++query) {
    const int64_t row = query * args.heads + head;
    const T* weights = args.weights + row * points;
    const T* grad_output = args.grad_output + row * args.channels;
    T* to_locations = grads.locations + row * points * 2;
    T* to_weights = grads.weights + row * points;
    for (int64_t i = 0; i < points; ++i) to_weights[i] = to_locations[2 * i] = to_locations[2 * i + 1] = 0;
    int64_t count = 0;
    for_level_points(args, head, args.locations + row * points * 2,
                     [&](int64_t i, const Point<T>& point, const Map& map) {
                       const auto own = point_grads(point, value, grad_output, 0, args.channels);
                       to_weights[i] = own.weight;
                       to_locations[2 * i] = weights[i] * static_cast<T>(map.width) * own.x;
                       to_locations[2 * i + 1] = weights[i] * static_cast<T>(map.height) * own.y;
                       count = append_corners(point, weights[i], scratch, count);
                     });
    const ScatterTile<T> tile{grads.value + image * numbers, scratch, count, grad_output};
    for_tiles<T>(0, args.channels, tile);
  }
}

}  // namespace
