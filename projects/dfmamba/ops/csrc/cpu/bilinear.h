// What all bilinear sampling is made of: where a point lies on a map, and sums over the channels of its corners.
#pragma once

#include "kernels.h"
#include "vector.h"

namespace {

using dfmamba::Corner;

// A map of pixels, row by row, within the numbers of an image.
struct Map {
  int64_t height, width;
  int64_t start;         // of the first pixel from the start of the image
  int64_t pixel_stride;  // numbers from pixel to pixel
};

// Where one sampled point lies: its four corners, and how far it is beyond the first of them.
template <typename T>
struct Point {
  int64_t position[4];  // of the corners (0,0), (0,1), (1,0), (1,1) as (y, x); 0 where `valid` is false
  bool valid[4];
  T fraction_y, fraction_x;
};

template <typename T>
inline int64_t floor_of(T p) {
  const int64_t towards_zero = static_cast<int64_t>(p);
  return towards_zero - (static_cast<T>(towards_zero) > p);
}

// Finds the corners of the point (y, x). False if it touches no pixel: then all is left as it was. The comparison is
// made before any number becomes an integer, so NaN and infinity end here.
template <typename T>
inline bool locate(const Map& map, T y, T x, Point<T>& point) {
  if (!(y >= T(-1) && y < static_cast<T>(map.height) && x >= T(-1) && x < static_cast<T>(map.width))) return false;
  const int64_t y0 = floor_of(y), x0 = floor_of(x);
  point.fraction_y = y - static_cast<T>(y0);
  point.fraction_x = x - static_cast<T>(x0);
  const bool top = y0 >= 0, bottom = y0 + 1 < map.height, left = x0 >= 0, right = x0 + 1 < map.width;
  const int64_t position = map.start + (y0 * map.width + x0) * map.pixel_stride, down = map.width * map.pixel_stride;
  point.valid[0] = top & left, point.valid[1] = top & right;
  point.valid[2] = bottom & left, point.valid[3] = bottom & right;
  point.position[0] = point.valid[0] ? position : 0;
  point.position[1] = point.valid[1] ? position + map.pixel_stride : 0;
  point.position[2] = point.valid[2] ? position + down : 0;
  point.position[3] = point.valid[3] ? position + down + map.pixel_stride : 0;
  return true;
}

// Appends the corners of a point with their shares in the sampled value times `weight`; returns how many there are then.
// The list needs room for four more.
template <typename T>
inline int64_t append_corners(const Point<T>& point, T weight, Corner<T>* corners, int64_t count) {
  const T fy = point.fraction_y, fx = point.fraction_x;
  // The weight comes last, as in the reference: where it is infinite, another order would make other numbers NaN.
  const T share[4] = {(1 - fy) * (1 - fx) * weight, (1 - fy) * fx * weight, fy * (1 - fx) * weight, fy * fx * weight};
  for (int64_t i = 0; i < 4; ++i) {
    corners[count] = {point.position[i], share[i]};  // overwritten by the next one if it does not count
    count += point.valid[i];
  }
  return count;
}

// Calls body.template run<V>(channel) for tiles of V = 8, 4, 2, 1 vectors of the channels first..last, and
// body.rest(channel, count) for the channels behind the last whole vector.
template <typename T, typename Body>
inline void for_tiles(int64_t first, int64_t last, const Body& body) {
  constexpr int64_t W = kLanes<T>;
  int64_t c = first;
  for (; c + 8 * W <= last; c += 8 * W) body.template run<8>(c);
  if (c + 4 * W <= last) body.template run<4>(c), c += 4 * W;
  if (c + 2 * W <= last) body.template run<2>(c), c += 2 * W;
  if (c + W <= last) body.template run<1>(c), c += W;
  if (c < last) body.rest(c, last - c);
}

// u = sum of share * x over the corners.
template <typename T>
struct GatherTile {
  const T* image;
  const Corner<T>* corners;
  int64_t count;
  T* u;

  template <int V>
  inline void run(int64_t channel) const {
    Vec<T> total[V] = {};
    for (int64_t i = 0; i < count; ++i) {
      const T* pixel = image + corners[i].position + channel;
      for (int v = 0; v < V; ++v) total[v] += corners[i].share * load(pixel + v * kLanes<T>);
    }
    for (int v = 0; v < V; ++v) store(u + channel + v * kLanes<T>, total[v]);
  }

  inline void rest(int64_t channel, int64_t channels) const {
    Vec<T> total = {};
    for (int64_t i = 0; i < count; ++i)
      total += corners[i].share * load(image + corners[i].position + channel, channels);
    store(u + channel, total, channels);
  }
};

// The transpose: grad_x += share * grad_u at every corner.
template <typename T>
struct ScatterTile {
  T* grad_image;
  const Corner<T>* corners;
  int64_t count;
  const T* grad_u;

  template <int V>
  inline void run(int64_t channel) const {
    Vec<T> grad[V];
    for (int v = 0; v < V; ++v) grad[v] = load(grad_u + channel + v * kLanes<T>);
    for (int64_t i = 0; i < count; ++i) {
      T* pixel = grad_image + corners[i].position + channel;
      for (int v = 0; v < V; ++v) {
        T* place = pixel + v * kLanes<T>;
        store<T>(place, load(place) + corners[i].share * grad[v]);
      }
    }
  }

  inline void rest(int64_t channel, int64_t channels) const {
    const Vec<T> grad = load(grad_u + channel, channels);
    for (int64_t i = 0; i < count; ++i) {
      T* place = grad_image + corners[i].position + channel;
      store<T>(place, load(place, channels) + corners[i].share * grad, channels);
    }
  }
};

// r_ij = sum over channels of grad_u * x at the four corners of a point.
template <typename T>
struct CornerDots {
  const T* pixel[4];
  const T* grad_u;
  Vec<T>* dot;  // four

  template <int V>
  inline void run(int64_t channel) const {
    for (int v = 0; v < V; ++v) rest(channel + v * kLanes<T>, kLanes<T>);
  }

  inline void rest(int64_t channel, int64_t channels) const {
    const Vec<T> grad = load(grad_u + channel, channels);
    for (int i = 0; i < 4; ++i) dot[i] += grad * load(pixel[i] + channel, channels);
  }
};

// Gradients of one sampled point: that of its weight, and those of its coordinates in pixels, still to be multiplied by
// the weight.
template <typename T>
struct PointGrads {
  T weight, y, x;
};

// Returns those of a point of `image`, for the gradient of the channels first..last of its sum.
template <typename T>
inline PointGrads<T> point_grads(const Point<T>& point, const T* image, const T* grad_u, int64_t first, int64_t last) {
  Vec<T> r[4] = {};
  const int64_t* position = point.position;
  const CornerDots<T> dots{
      {image + position[0], image + position[1], image + position[2], image + position[3]}, grad_u, r};
  for_tiles<T>(first, last, dots);
  for (int i = 0; i < 4; ++i)
    if (!point.valid[i]) r[i] = Vec<T>{};

  const T fy = point.fraction_y, fx = point.fraction_x;
  const Vec<T> top = (1 - fx) * r[0] + fx * r[1], bottom = (1 - fx) * r[2] + fx * r[3];
  const Vec<T> across = (1 - fy) * (r[1] - r[0]) + fy * (r[3] - r[2]);
  return {sum<T>((1 - fy) * top + fy * bottom), sum<T>(bottom - top), sum<T>(across)};
}

}  // namespace
