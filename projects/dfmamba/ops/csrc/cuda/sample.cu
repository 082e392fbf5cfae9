// Forward sampling, u_t = sum_k b_(t,k) x(p_t + a_k + o_(t,k)): one warp a token and group, lanes over its channels.
// Corners and shares are worked out once, an anchor a lane, and read by all lanes from shared memory.

#include "sampling.cuh"

namespace dfmamba::cuda {
namespace {

constexpr int kWarps = 4;

template <typename T>
struct Arguments {
  Map map;
  int64_t rows;  // batch * tokens * groups
  int tokens, groups, group_channels;
  const T* x;
  const Work<T>* offset;
  Array weight;
  T* u;
};

template <typename S>
struct Corner {
  int token;
  S share;
};

template <typename T, int V>
__global__ void __launch_bounds__(kWarps* kWarp) sample_kernel(const Arguments<T> arguments) {
  using S = Work<T>;
  const Map& map = arguments.map;
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  Corner<S>* corners = reinterpret_cast<Corner<S>*>(shared_memory()) + warp * kWarp * 4;
  const int64_t row = int64_t{blockIdx.x} * kWarps + warp;
  if (row >= arguments.rows) return;  // the whole warp; no block-wide barrier follows

  const int group = row % arguments.groups;
  const int64_t token_in_batch = row / arguments.groups;
  const int token = token_in_batch % arguments.tokens;
  const int64_t stride = int64_t{arguments.groups} * arguments.group_channels;
  const T* image = arguments.x + (token_in_batch - token) * stride + group * arguments.group_channels;
  T* output = arguments.u + row * arguments.group_channels;

  for (int tile = 0; tile < arguments.group_channels; tile += kWarp * V) {
    const int channel = tile + lane * V;
    S sums[V] = {};
    for (int first = 0; first < map.anchors; first += kWarp) {
      const int count = min(kWarp, map.anchors - first);
      __syncwarp();  // all lanes have read the corners before
      if (lane < count) {
        const int64_t index = row * map.anchors + first + lane;
        const auto point = locate(map, token, first + lane, load_offset(map, arguments.offset + index * map.axes));
        const S weight = load<T>(arguments.weight, index);
        for (int i = 0; i < 4; ++i) {
          corners[lane * 4 + i] = {corner_token(map, point, i), corner_share(point, i) * weight};
        }
      }
      __syncwarp();
      if (channel >= arguments.group_channels) continue;
#pragma unroll 4
      for (int i = 0; i < 4 * count; ++i) {
        const Corner<S> corner = corners[i];
        if (corner.token < 0) continue;
        const auto found = load_pack<V>(image + corner.token * stride + channel);
        for (int v = 0; v < V; ++v) sums[v] += corner.share * to_work(found.values[v]);
      }
    }
    if (channel >= arguments.group_channels) continue;
    Pack<T, V> pack;
    for (int v = 0; v < V; ++v) put(pack.values[v], sums[v]);
    store_pack<V>(output + channel, pack);
  }
}

template <typename T, int V>
int launch_sample(const Arguments<T>& arguments, Stream stream) {
  const size_t shared_bytes = kWarps * kWarp * 4 * sizeof(Corner<Work<T>>);
  return launch(sample_kernel<T, V>, divide_up(arguments.rows, kWarps), kWarps * kWarp, shared_bytes, stream,
                arguments);
}

}  // namespace

int sample(DType dtype, const SampleSizes& sizes, const void* x, const void* offset, Array weight, void* u,
           Stream stream) {
  return dispatch_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const int64_t tokens = sizes.height * sizes.width, group_channels = sizes.channels / sizes.groups;
    const Arguments<T> arguments{make_map(sizes),
                                 sizes.batch * tokens * sizes.groups,
                                 static_cast<int>(tokens),
                                 static_cast<int>(sizes.groups),
                                 static_cast<int>(group_channels),
                                 static_cast<const T*>(x),
                                 static_cast<const Work<T>*>(offset),
                                 weight,
                                 static_cast<T*>(u)};
    switch (channels_per_lane<T>(group_channels, x, u)) {
      case 4: return launch_sample<T, 4>(arguments, stream);
      case 2: return launch_sample<T, 2>(arguments, stream);
      default: return launch_sample<T, 1>(arguments, stream);
    }
  });
}

}  // namespace dfmamba::cuda
