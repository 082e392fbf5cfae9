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

// Finds the corners of the point (y, x). False if it touches no pixel: then all is left as it was. The comparison is
// made before any number becomes an integer, so NaN and infinity end here.
template <typename T>
inline bool locate(const SampleArgs<T>& args, T y, T x, Point<T>& point) {
  if (!(y >= T(-1) && y < static_cast<T>(args.height) && x >= T(-1) && x < static_cast<T>(args.width))) return false;
  const int64_t y0 = floor_of(y), x0 = floor_of(x);
  point.fraction_y = y - static_cast<T>(y0);
  point.fraction_x = x - static_cast<T>(x0);
  const bool top = y0 >= 0, bottom = y0 + 1 < args.height, left = x0 >= 0, right = x0 + 1 < args.width;
  const int64_t position = (y0 * args.width + x0) * args.channels, down = args.width * args.channels;
  point.valid[0] = top & left, point.valid[1] = top & right;
  point.valid[2] = bottom & left, point.valid[3] = bottom & right;
  point.position[0] = point.valid[0] ? position : 0;
  point.position[1] = point.valid[1] ? position + args.channels : 0;
  point.position[2] = point.valid[2] ? position + down : 0;
  point.position[3] = point.valid[3] ? position + down + args.channels : 0;
  return true;
}

// Calls visit(k, point) for every anchor k of one token and group whose point touches the map. `offset` is that of
// their first anchor.
template <typename T, typename Visit>
inline void for_points(const SampleArgs<T>& args, int64_t row, int64_t column, const T* offset, const Visit& visit) {
  Point<T> point;
  int64_t k = 0;
  for (int64_t dy = -args.radius_y; dy <= args.radius_y; ++dy) {
    for (int64_t dx = -args.radius_x; dx <= args.radius_x; ++dx, ++k) {
      const T* o = offset + k * args.axes;
      const T y = static_cast<T>(row + dy) + (args.axes == 2 ? o[0] : T(0));
      const T x = static_cast<T>(column + dx) + o[args.axes - 1];
      if (locate(args, y, x, point)) visit(k, point);
    }
  }
}

// Lists the pixels that u of one token and group is made of, and their shares; returns how many. `first` is the number
// of their first anchor in the whole batch.
template <typename T>
inline int64_t list_corners(const SampleArgs<T>& args, int64_t row, int64_t column, int64_t first, Corner<T>* corners) {
  int64_t count = 0;
  for_points(args, row, column, args.offset + first * args.axes, [&](int64_t k, const Point<T>& point) {
    const T b = args.weight[first + k], fy = point.fraction_y, fx = point.fraction_x;
    // b comes last, as in the reference: where it is infinite, another order would make other numbers NaN.
    const T share[4] = {(1 - fy) * (1 - fx) * b, (1 - fy) * fx * b, fy * (1 - fx) * b, fy * fx * b};
    for (int64_t i = 0; i < 4; ++i) {
      corners[count] = {point.position[i], share[i]};  // overwritten by the next one if it does not count
      count += point.valid[i];
    }
  });
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
    const int64_t row = token % args.length / args.width, column = token % args.length % args.width;
    for (int64_t g = 0; g < args.groups; ++g) {
      const int64_t count = list_corners(args, row, column, (token * args.groups + g) * args.anchors, scratch);
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
  for (int64_t t = 0; t < args.length; ++t) {
    const int64_t token = image * args.length + t, anchor = (token * args.groups + group) * args.anchors;
    const int64_t count = list_corners(args, t / args.width, t % args.width, anchor, scratch);
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
  for (int64_t token = begin; token < end; ++token) {
    const T* image = args.x + token / args.length * args.length * args.channels;
    const int64_t row = token % args.length / args.width, column = token % args.length % args.width;
    for (int64_t g = 0; g < args.groups; ++g) {
      const int64_t first = (token * args.groups + g) * args.anchors;
      T* to_offset = grad_offset + first * args.axes;
      for (int64_t k = 0; k < args.anchors; ++k) grad_weight[first + k] = 0;
      for (int64_t i = 0; i < args.anchors * args.axes; ++i) to_offset[i] = 0;
      for_points(args, row, column, args.offset + first * args.axes, [&](int64_t k, const Point<T>& point) {
        Vec<T> r[4] = {};
        const int64_t* position = point.position;
        const CornerDots<T> dots{{image + position[0], image + position[1], image + position[2], image + position[3]},
                                 args.grad_u + token * args.channels, r};
        for_tiles<T>(g * group_channels, (g + 1) * group_channels, dots);
        for (int i = 0; i < 4; ++i)
          if (!point.valid[i]) r[i] = Vec<T>{};

        const T b = args.weight[first + k], fy = point.fraction_y, fx = point.fraction_x;
        const Vec<T> top = (1 - fx) * r[0] + fx * r[1], bottom = (1 - fx) * r[2] + fx * r[3];
        const Vec<T> across = (1 - fy) * (r[1] - r[0]) + fy * (r[3] - r[2]);
        grad_weight[first + k] = sum<T>((1 - fy) * top + fy * bottom);
        if (args.axes == 2) to_offset[2 * k] = b * sum<T>(bottom - top);
        to_offset[args.axes * (k + 1) - 1] = b * sum<T>(across);
      });
    }
  }
}

}  // namespace
