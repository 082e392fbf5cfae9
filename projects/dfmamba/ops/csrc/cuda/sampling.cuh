// Where a sampling point lies: the rules of ../README.md, in pixels, shared by every kernel that samples.

#pragma once

#include "common.cuh"

namespace dfmamba::cuda {

struct Map {
  int height, width, axes, anchors, side;  // side: anchors in a row
};

inline Map make_map(const SampleSizes& sizes) {
  int side = 1;
  while ((sizes.axes == 2 ? int64_t{side} * side : side) < sizes.anchors) side += 2;
  return {static_cast<int>(sizes.height), static_cast<int>(sizes.width), static_cast<int>(sizes.axes),
          static_cast<int>(sizes.anchors), side};
}

template <typename S>
struct Point {
  int y, x;   // the lower corner, -1 at the least
  S fy, fx;   // from there, in [0, 1]
  bool counts;
};

template <typename S>
struct Offset {
  S y, x;
};

// `numbers` are those of one token, group and anchor.
template <typename S>
__device__ __forceinline__ Offset<S> load_offset(const Map& map, const S* numbers) {
  return {map.axes == 2 ? numbers[0] : S(0), numbers[map.axes - 1]};
}

template <typename S>
__device__ __forceinline__ Point<S> locate(const Map& map, int token, int anchor, const Offset<S>& offset) {
  const int radius = map.side / 2;
  const int row = token / map.width;
  const int anchor_row = anchor / map.side;
  const int base_x = token - row * map.width + (anchor - anchor_row * map.side) - radius;
  const S x = S(base_x) + offset.x;
  const S y = map.axes == 2 ? S(row + anchor_row - radius) + offset.y : S(0);
  // Compared before anything becomes an integer: NaN, infinity and huge numbers fail here.
  if (!(y >= S(-1) && y < S(map.height) && x >= S(-1) && x < S(map.width))) return {0, 0, S(0), S(0), false};
  const S lower_y = floor(y), lower_x = floor(x);
  return {static_cast<int>(lower_y), static_cast<int>(lower_x), y - lower_y, x - lower_x, true};
}

// Corner i = 2 * down + right: the token there, or -1 off the map.
template <typename S>
__device__ __forceinline__ int corner_token(const Map& map, const Point<S>& point, int i) {
  const int y = point.y + i / 2, x = point.x + i % 2;
  return point.counts && y >= 0 && y < map.height && x >= 0 && x < map.width ? y * map.width + x : -1;
}

template <typename S>
__device__ __forceinline__ S corner_share(const Point<S>& point, int i) {
  return (i / 2 ? point.fy : S(1) - point.fy) * (i % 2 ? point.fx : S(1) - point.fx);
}

// Channels one lane takes at once: as many as let a warp cover a group, if addresses allow.
template <typename T>
int channels_per_lane(int64_t group_channels, const void* a, const void* b) {
  const auto addresses = reinterpret_cast<uintptr_t>(a) | reinterpret_cast<uintptr_t>(b);
  for (const int wide : {4, 2}) {
    const bool aligned = group_channels % wide == 0 && addresses % (wide * sizeof(T)) == 0;
    if (aligned && wide * sizeof(T) <= 16 && group_channels >= kWarp * wide) return wide;
  }
  return 1;
}

}  // namespace dfmamba::cuda
