// Gradients of the sampling, with du = grad_u and v_i the corners of a point, each times its share w_i:
//
//   dots r_i = sum_(c in group) du_c v_i,c      grad_weight = sum_i w_i r_i
//   grad_dy = b ((1-fx)(r_2 - r_0) + fx (r_3 - r_1))     grad_dx = b ((1-fy)(r_1 - r_0) + fy (r_3 - r_2))
//   grad_x(corner i) += b w_i du
//
// Here are the kernels that take all sizes; those of models go to sample_backward_fast.cuh. The first three come from
// `points_kernel`, one warp a token and group. The last is a scatter: in `pixels_kernel` every block owns a window of
// pixels and a slice of channels. Its warps look through all points in turns, take those that touch the window, and
// each keeps sums of its own in shared memory; these are added up in order, with `skip`. No two threads ever add to the
// same number: no atomics.

#include "sample_backward.cuh"
#include "sample_backward_fast.cuh"

namespace dfmamba::cuda {
namespace {

constexpr size_t kPixelBytes = 63 * 1024;  // shared memory for the sums of a window: every card has 64 KiB

template <typename S>
struct Dots {
  int token;
  S dot;
};

template <typename T, int V>
__global__ void __launch_bounds__(kWarps* kWarp) points_kernel(const Arguments<T> arguments) {
  using S = Work<T>;
  const Map& map = arguments.map;
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  Dots<S>* corners = reinterpret_cast<Dots<S>*>(shared_memory()) + warp * kWarp * 4;
  const int64_t row = int64_t{blockIdx.x} * kWarps + warp;
  if (row >= arguments.batch * arguments.tokens * arguments.groups) return;  // the whole warp

  const int group = row % arguments.groups;
  const int64_t token_in_batch = row / arguments.groups;
  const int token = token_in_batch % arguments.tokens;
  const int64_t stride = int64_t{arguments.groups} * arguments.group_channels;
  const T* image = arguments.x + (token_in_batch - token) * stride + group * arguments.group_channels;
  const T* grad_u = arguments.grad_u + row * arguments.group_channels;

  for (int first = 0; first < map.anchors; first += kWarp) {
    const int count = min(kWarp, map.anchors - first);
    const int64_t index = row * map.anchors + first + lane;
    Point<S> point{};
    if (lane < count) {
      point = locate(map, token, first + lane, load_offset(map, arguments.offset + index * map.axes));
      for (int i = 0; i < 4; ++i) corners[lane * 4 + i].token = corner_token(map, point, i);
    }
    __syncwarp();
    for (int anchor = 0; anchor < count; ++anchor) {
      S dots[4] = {};
      for (int channel = lane * V; channel < arguments.group_channels; channel += kWarp * V) {
        const auto given = load_pack<V>(grad_u + channel);
        for (int i = 0; i < 4; ++i) {
          const int corner = corners[anchor * 4 + i].token;
          if (corner < 0) continue;
          const auto found = load_pack<V>(image + corner * stride + channel);
          for (int v = 0; v < V; ++v) dots[i] += to_work(given.values[v]) * to_work(found.values[v]);
        }
      }
      const int i = reduce_scatter<4, kWarp, 1>(dots, lane);
      if (is_first_holder<4, kWarp, 1>(lane)) corners[anchor * 4 + i].dot = dots[0];
    }
    __syncwarp();
    if (lane < count) {
      const S r[4] = {corners[lane * 4].dot, corners[lane * 4 + 1].dot, corners[lane * 4 + 2].dot,
                      corners[lane * 4 + 3].dot};
      Gradient<S> gradient{};
      if (point.counts) gradient = point_gradient(point, load<T>(arguments.weight, index), r);
      store<T>(arguments.grad_weight, index, gradient.weight);
      S* grad_offset = arguments.grad_offset + index * map.axes;
      grad_offset[map.axes - 1] = gradient.x;
      if (map.axes == 2) grad_offset[0] = gradient.y;
    }
  }
}

// What a point adds to a window: the rows of its corners, a byte each, and their shares. Corners elsewhere go to the
// row after the last, which nobody reads.
template <typename S>
struct Hit {
  bool any;
  unsigned rows;
  S shares[4];
};

template <typename S>
__device__ __forceinline__ Hit<S> find_hit(const Map& map, const Point<S>& point, int window_start, int window) {
  Hit<S> hit{false, 0, {}};
  for (int i = 0; i < 4; ++i) {
    const int row = corner_token(map, point, i) - window_start;
    const bool inside = corner_token(map, point, i) >= 0 && row >= 0 && row < window;
    hit.any = hit.any || inside;
    hit.rows |= static_cast<unsigned>(inside ? row : window) << (8 * i);
    hit.shares[i] = inside ? corner_share(point, i) : S(0);
  }
  return hit;
}

// Add what lane `source` found to the sums. The rows of a point's corners differ, so all can be read before the first
// is written; only the row that nobody reads may come up twice.
template <typename T, int V, typename S>
__device__ __forceinline__ void add_hit(const Hit<S>& hit, int source, const Pack<T, V>& given, S* sums) {
  const unsigned rows = __shfl_sync(kAllLanes, hit.rows, source);
  S* places[4];
  Pack<S, V> found[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    places[i] = sums + ((rows >> (8 * i)) & 0xff) * kWarp * V;
    found[i] = load_pack<V>(places[i]);
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const S share = __shfl_sync(kAllLanes, hit.shares[i], source);
    for (int v = 0; v < V; ++v) found[i].values[v] += share * to_work(given.values[v]);
    store_pack<V>(places[i], found[i]);
  }
}

template <typename T, int V>
__global__ void __launch_bounds__(kWarps* kWarp) pixels_kernel(const Arguments<T> arguments) {
  using S = Work<T>;
  const Map& map = arguments.map;
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, window = arguments.window;
  const int windows = (arguments.tokens + window - 1) / window;
  const int slices_of_group = (arguments.group_channels + kWarp * V - 1) / (kWarp * V);
  int64_t block = blockIdx.x;
  const int window_start = static_cast<int>(block % windows) * window;
  block /= windows;
  const int slice = block % slices_of_group;
  block /= slices_of_group;
  const int group = block % arguments.groups;
  const int64_t first_token = block / arguments.groups * arguments.tokens;

  // Each lane touches its own V channels of its warp's sums only, so they need no barrier.
  const int copy = (window + 1) * kWarp * V;
  S* all_sums = reinterpret_cast<S*>(shared_memory()) + lane * V;
  S* sums = all_sums + warp * copy;
  for (int row = 0; row <= window; ++row) store_pack<V>(sums + row * kWarp * V, Pack<S, V>{});

  const int64_t stride = int64_t{arguments.groups} * arguments.group_channels;
  const int channel = slice * kWarp * V + lane * V;
  const bool has_channel = channel < arguments.group_channels;
  const int64_t origin = first_token * stride + group * arguments.group_channels + channel;
  const int64_t points = int64_t{arguments.tokens} * map.anchors;
  for (int64_t first = warp * kWarp; first < points; first += kWarps * kWarp) {
    const int64_t item = first + lane;
    const int token = static_cast<int>(item / map.anchors);
    const int anchor = static_cast<int>(item - int64_t{token} * map.anchors);
    Hit<S> hit{false, 0, {}};
    if (item < points) {
      const int64_t index = ((first_token + token) * arguments.groups + group) * map.anchors + anchor;
      const auto point = locate(map, token, anchor, load_offset(map, arguments.offset + index * map.axes));
      hit = find_hit(map, point, window_start, window);
      if (hit.any) {
        const S weight = load<T>(arguments.weight, index);
        for (int i = 0; i < 4; ++i) hit.shares[i] *= weight;
      }
    }
    // grad_u of the next hit is on its way while the one before is added.
    const auto load_given = [&](unsigned waiting) {
      const int source = waiting == 0 ? 0 : __ffs(static_cast<int>(waiting)) - 1;
      const int from = __shfl_sync(kAllLanes, token, source);
      Pack<T, V> given{};
      if (waiting != 0 && has_channel) given = load_pack<V>(arguments.grad_u + origin + from * stride);
      return given;
    };
    unsigned waiting = __ballot_sync(kAllLanes, hit.any);
    auto next = load_given(waiting);
    while (waiting != 0) {
      const auto given = next;
      const int source = __ffs(static_cast<int>(waiting)) - 1;
      waiting &= waiting - 1;
      next = load_given(waiting);
      add_hit<T, V>(hit, source, given, sums);
    }
  }

  __syncthreads();
  if (!has_channel) return;
  for (int row = warp; row < window && window_start + row < arguments.tokens; row += kWarps) {
    const int64_t at = origin + (window_start + row) * stride;
    auto sum = load_pack<V>(all_sums + row * kWarp * V);
    for (int w = 1; w < kWarps; ++w) {
      const auto more = load_pack<V>(all_sums + w * copy + row * kWarp * V);
      for (int v = 0; v < V; ++v) sum.values[v] += more.values[v];
    }
    Pack<T, V> pack;
    for (int v = 0; v < V; ++v) {
      S skip = S(0);
      if (arguments.D != nullptr) {
        skip = arguments.D[group * arguments.group_channels + channel + v] * to_work(arguments.grad_y[at + v]);
      }
      put(pack.values[v], sum.values[v] + skip);
    }
    store_pack<V>(arguments.grad_x + at, pack);
  }
}

// Small windows make many blocks, large ones make few points be looked at in vain.
template <typename S, int V>
int choose_window(int64_t tokens, int64_t blocks_a_window) {
  constexpr int kLargest = kPixelBytes / (kWarps * kWarp * V * sizeof(S)) - 1;
  constexpr int kMost = kLargest < 128 ? kLargest : 128;  // row numbers, and one more, must fit in a byte
  if (tokens >= 4096) return kMost;
  int window = 32;
  while (window > 16 && blocks_a_window * divide_up(tokens, window) < 256) window /= 2;
  return window < kMost ? window : kMost;
}

template <typename T, int V>
int launch_points(const Arguments<T>& arguments, Stream stream) {
  const int64_t rows = arguments.batch * arguments.tokens * arguments.groups;
  return launch(points_kernel<T, V>, divide_up(rows, kWarps), kWarps * kWarp,
                kWarps * kWarp * 4 * sizeof(Dots<Work<T>>), stream, arguments);
}

template <typename T, int V>
int launch_pixels(Arguments<T> arguments, Stream stream) {
  using S = Work<T>;
  const int64_t slices = arguments.batch * arguments.groups * divide_up(arguments.group_channels, kWarp * V);
  arguments.window = choose_window<S, V>(arguments.tokens, slices);
  return launch(pixels_kernel<T, V>, slices * divide_up(arguments.tokens, arguments.window), kWarps * kWarp,
                kWarps * (arguments.window + 1) * kWarp * V * sizeof(S), stream, arguments);
}

template <typename T, int V>
int launch_backward(const Arguments<T>& arguments, Stream stream) {
  if constexpr (!std::is_same_v<T, double>) {
    Device device{};
    if (const int error = get_device(&device)) return error;
    if (is_fast(arguments)) {
      if (const int error = launch_nine_points(arguments, stream)) return error;
      return lists_fit(arguments, device) ? launch_lists(arguments, device, stream)
                                          : launch_pixels<T, V>(arguments, stream);
    }
  }
  if (const int error = launch_points<T, V>(arguments, stream)) return error;
  return launch_pixels<T, V>(arguments, stream);
}

}  // namespace

int sample_backward(DType dtype, const SampleSizes& sizes, const void* grad_u, const void* x, const void* offset,
                    Array weight, const Skip& skip, void* grad_x, void* grad_offset, MutableArray grad_weight,
                    Stream stream) {
  return dispatch_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using S = Work<T>;
    const int64_t group_channels = sizes.channels / sizes.groups;
    const Arguments<T> arguments{make_map(sizes),
                                 sizes.batch,
                                 static_cast<int>(sizes.height * sizes.width),
                                 static_cast<int>(sizes.groups),
                                 static_cast<int>(group_channels),
                                 0,
                                 static_cast<const T*>(grad_u),
                                 static_cast<const T*>(x),
                                 static_cast<const T*>(skip.grad_y),
                                 static_cast<const S*>(skip.D),
                                 static_cast<const S*>(offset),
                                 weight,
                                 static_cast<T*>(grad_x),
                                 static_cast<S*>(grad_offset),
                                 grad_weight};
    int lanes = channels_per_lane<T>(group_channels, grad_u, x);
    lanes = lanes < 2 || channels_per_lane<T>(group_channels, grad_x, x) < 2 ? 1 : 2;
    return lanes == 2 ? launch_backward<T, 2>(arguments, stream) : launch_backward<T, 1>(arguments, stream);
  });
}

}  // namespace dfmamba::cuda
