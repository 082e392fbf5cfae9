// Deformable sampling: u_t = sum_k b_tk x(p_t + a_k + o_tk), Eq. 3 of arXiv 2512.02727 (Eq. 2 with one axis).
#pragma once

#include "kernels.h"
#include "vector.h"

namespace {

using dfmamba::Corner;
using dfmamba::SampleArgs;

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

// Finds the corners of anchor k of the token at (row, column). False if the point touches no pixel: then all is left
// as it was. The comparison is made before any number becomes an integer, so NaN and infinity end here.
template <typename T>
inline bool locate(const SampleArgs<T>& args, int64_t row, int64_t column, int64_t k, const T* offset, Point<T>& point) {
  const int64_t side = 2 * args.radius_x + 1;
  const T* o = offset + k * args.axes;
  const T y = static_cast<T>(row + k / side - args.radius_y) + (args.axes == 2 ? o[0] : T(0));
  const T x = static_cast<T>(column + k % side - args.radius_x) + o[args.axes - 1];
  if (!(y >= T(-1) && y < static_cast<T>(args.height) && x >= T(-1) && x < static_cast<T>(args.width))) return false;
  const int64_t y0 = floor_of(y), x0 = floor_of(x);
  point.fraction_y = y - static_cast<T>(y0);
  point.fraction_x = x - static_cast<T>(x0);
  for (int64_t corner = 0; corner < 4; ++corner) {
    const int64_t yi = y0 + corner / 2, xi = x0 + corner % 2;
    point.valid[corner] = yi >= 0 && yi < args.height && xi >= 0 && xi < args.width;
    point.position[corner] = point.valid[corner] ? (yi * args.width + xi) * args.channels : 0;
  }
  return true;
}

// Lists the pixels that u of one token and group is made of, and their shares; returns how many.
template <typename T>
inline int64_t list_corners(const SampleArgs<T>& args, int64_t token, int64_t group, Corner<T>* corners) {
  const int64_t row = token % args.length / args.width, column = token % args.length % args.width;
  const int64_t first = (token * args.groups + group) * args.anchors;
  int64_t count = 0;
  Point<T> point;
  for (int64_t k = 0; k < args.anchors; ++k) {
    if (!locate(args, row, column, k, args.offset + first * args.axes, point)) continue;
    const T b = args.weight[first + k], fy = point.fraction_y, fx = point.fraction_x;
    const T share[4] = {b * (1 - fy) * (1 - fx), b * (1 - fy) * fx, b * fy * (1 - fx), b * fy * fx};
    for (int64_t corner = 0; corner < 4; ++corner) {
      corners[count] = {point.position[corner], share[corner]};  // overwritten by the next one if it does not count
      count += point.valid[corner];
    }
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

template <typename T>
void gather(const SampleArgs<T>& args, int64_t begin, int64_t end, Corner<T>* scratch, T* u) {
  const int64_t group_channels = args.channels / args.groups;
  for (int64_t token = begin; token < end; ++token) {
    const T* image = args.x + token / args.length * args.length * args.channels;
    for (int64_t g = 0; g < args.groups; ++g) {
      const int64_t count = list_corners(args, token, g, scratch);
      const GatherTile<T> tile{image, scratch, count, u + token * args.channels};
      for_tiles<T>(g * group_channels, (g + 1) * group_channels, tile);
    }
  }
}

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

template <typename T>
void scatter(const SampleArgs<T>& args, int64_t image, int64_t first, int64_t last, Corner<T>* scratch, T* grad_x) {
  const int64_t group = first / (args.channels / args.groups);
  T* grad_image = grad_x + image * args.length * args.channels;
  for (int64_t token = image * args.length; token < (image + 1) * args.length; ++token) {
    const int64_t count = list_corners(args, token, group, scratch);
    for_tiles<T>(first, last, ScatterTile<T>{grad_image, scratch, count, args.grad_u + token * args.channels});
  }
}

// r_ij = sum over channels of grad_u * x at the four corners of a point, from which follow the gradients of its weight
// and offset.
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

template <typename T>
void gather_grad(const SampleArgs<T>& args, int64_t begin, int64_t end, T* grad_offset, T* grad_weight) {
  const int64_t group_channels = args.channels / args.groups;
  Point<T> point;
  for (int64_t token = begin; token < end; ++token) {
    const T* image = args.x + token / args.length * args.length * args.channels;
    const int64_t row = token % args.length / args.width, column = token % args.length % args.width;
    for (int64_t g = 0; g < args.groups; ++g) {
      const int64_t first = (token * args.groups + g) * args.anchors;
      for (int64_t k = 0; k < args.anchors; ++k) {
        T* to_offset = grad_offset + (first + k) * args.axes;
        grad_weight[first + k] = 0;
        for (int64_t axis = 0; axis < args.axes; ++axis) to_offset[axis] = 0;
        if (!locate(args, row, column, k, args.offset + first * args.axes, point)) continue;

        Vec<T> r[4] = {};
        const CornerDots<T> dots{{image + point.position[0], image + point.position[1], image + point.position[2],
                                  image + point.position[3]},
                                 args.grad_u + token * args.channels, r};
        for_tiles<T>(g * group_channels, (g + 1) * group_channels, dots);
        for (int i = 0; i < 4; ++i)
          if (!point.valid[i]) r[i] = Vec<T>{};

        const T b = args.weight[first + k], fy = point.fraction_y, fx = point.fraction_x;
        const Vec<T> top = (1 - fx) * r[0] + fx * r[1], bottom = (1 - fx) * r[2] + fx * r[3];
        const Vec<T> across = (1 - fy) * (r[1] - r[0]) + fy * (r[3] - r[2]);
        grad_weight[first + k] = sum<T>((1 - fy) * top + fy * bottom);
        if (args.axes == 2) to_offset[0] = b * sum<T>(bottom - top);
        to_offset[args.axes - 1] = b * sum<T>(across);
      }
    }
  }
}

}  // namespace
