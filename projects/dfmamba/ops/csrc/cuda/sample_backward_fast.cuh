// Gradients of the sampling for what models have: two axes, 3 x 3 anchors, channels in fours at addresses that are
// multiples of 16, no float64. The formulas are those of sample_backward.cu.
//
// `nine_points_kernel`: 16 lanes a token and group, four channels a lane; the 36 dots are kept in registers and added
// up over the lanes once.
//
// `lists_kernel`: a block sorts the corners of all points by their pixel, in shared memory, then gathers: eight lanes a
// pixel add up its list. The sort is a counting sort that keeps the order of the points, so that sums are the same from
// run to run: each warp counts its own share of the points, and lanes with the same pixel rank themselves.

#pragma once

#include "sample_backward.cuh"

namespace dfmamba::cuda {
namespace {

constexpr int kAnchors = 9, kCorners = 4;
constexpr int kQuad = 4;         // channels of a lane
constexpr int kTokenLanes = 16;  // of nine_points_kernel
constexpr int kListWarps = 8, kListThreads = kListWarps * kWarp;
constexpr int kSliceChannels = 32, kPixelLanes = kSliceChannels / kQuad;
constexpr int kTeams = kListThreads / kPixelLanes;  // each adds up the list of one pixel
constexpr int kLongList = 256;                      // above this all teams share a list

template <typename T>
__device__ __forceinline__ Pack<Work<T>, kQuad> load_quad(const T* address) {
  const auto found = load_pack<kQuad>(address);
  Pack<Work<T>, kQuad> quad;
#pragma unroll
  for (int v = 0; v < kQuad; ++v) quad.values[v] = to_work(found.values[v]);
  return quad;
}

template <typename T>
__global__ void __launch_bounds__(kWarps* kWarp, 4) nine_points_kernel(const Arguments<T> arguments) {
  using S = Work<T>;
  const Map& map = arguments.map;
  const int lane = threadIdx.x % kWarp, own = lane % kTokenLanes, place = threadIdx.x / kTokenLanes;
  const int rows = static_cast<int>(arguments.batch) * arguments.tokens * arguments.groups;
  const int asked = static_cast<int>(blockIdx.x) * (kWarps * kWarp / kTokenLanes) + place;
  const int row = min(asked, rows - 1);  // the last lanes repeat a row, and write nothing
  const int group = row % arguments.groups, token_in_batch = row / arguments.groups;
  const int token = token_in_batch % arguments.tokens;
  const int64_t stride = int64_t{arguments.groups} * arguments.group_channels;
  const T* image = arguments.x + (token_in_batch - token) * stride + group * arguments.group_channels;
  const T* grad_u = arguments.grad_u + int64_t{row} * arguments.group_channels;
  auto* corners = reinterpret_cast<Pack<unsigned, kCorners>*>(shared_memory()) + place * kAnchors;
  S* sums = reinterpret_cast<S*>(reinterpret_cast<Pack<unsigned, kCorners>*>(shared_memory()) +
                                 kWarps * kWarp / kTokenLanes * kAnchors) + place * kAnchors * kCorners;

  const int64_t index = int64_t{row} * kAnchors + own;
  Point<S> point{};
  if (own < kAnchors) {
    point = locate(map, token, own, load_offset(map, arguments.offset + index * 2));
    // Off the map something else is read, and its dot is dropped below.
#pragma unroll
    for (int i = 0; i < kCorners; ++i) {
      const int found = max(0, corner_token(map, point, i));
      corners[own].values[i] = static_cast<unsigned>(found) * static_cast<unsigned>(stride);
    }
  }
  __syncwarp();
  S dots[kAnchors][kCorners] = {};
  for (int channel = own * kQuad; channel < arguments.group_channels; channel += kTokenLanes * kQuad) {
    const auto given = load_quad(grad_u + channel);
#pragma unroll
    for (int anchor = 0; anchor < kAnchors; ++anchor) {
      const auto places = corners[anchor];
#pragma unroll
      for (int i = 0; i < kCorners; ++i) {
        const auto found = load_quad(image + places.values[i] + channel);
#pragma unroll
        for (int v = 0; v < kQuad; ++v) dots[anchor][i] += given.values[v] * found.values[v];
      }
    }
  }
#pragma unroll
  for (int anchor = 0; anchor < kAnchors; ++anchor) {
    const int i = reduce_scatter<kCorners, kTokenLanes, 1>(dots[anchor], lane);
    if (is_first_holder<kCorners, kTokenLanes, 1>(own)) sums[anchor * kCorners + i] = dots[anchor][0];
  }
  __syncwarp();
  if (own >= kAnchors || asked >= rows) return;
  S r[kCorners];
#pragma unroll
  for (int i = 0; i < kCorners; ++i) r[i] = corner_token(map, point, i) < 0 ? S(0) : sums[own * kCorners + i];
  Gradient<S> gradient{};
  if (point.counts) gradient = point_gradient(point, load<T>(arguments.weight, index), r);
  store<T>(arguments.grad_weight, index, gradient.weight);
  store_pack<2>(arguments.grad_offset + index * 2, Pack<S, 2>{gradient.y, gradient.x});
}

// What a corner adds to its pixel: grad_u of a token, where that starts, times a share.
template <typename S>
struct alignas(2 * sizeof(S)) Entry {
  unsigned start;
  S share;
};

// Shared memory: the entries; for each warp and pixel how many there are, then where the next one goes; where the list
// of each pixel starts; what the teams found of a long list.
template <typename S>
struct Lists {
  Entry<S>* entries;
  int *places, *starts;
  S* partial;

  __device__ Lists(int tokens, int window) {
    entries = reinterpret_cast<Entry<S>*>(shared_memory());
    partial = reinterpret_cast<S*>(entries + tokens * kAnchors * kCorners);
    places = reinterpret_cast<int*>(partial + kTeams * kSliceChannels);
    starts = places + kListWarps * window;
  }
  static size_t bytes(int64_t tokens, int64_t window) {
    return tokens * kAnchors * kCorners * sizeof(Entry<S>) + kTeams * kSliceChannels * sizeof(S) +
           (kListWarps * window + window + 1) * sizeof(int);
  }
};

template <typename T>
struct ListBlock {
  using S = Work<T>;
  using Quad = Pack<S, kQuad>;
  const Arguments<T>& arguments;
  Lists<S> lists;
  int lane, warp, team, group, channel, window_start, window;  // channel: of the lane, in the group
  int64_t first_token, origin, stride;

  __device__ explicit ListBlock(const Arguments<T>& arguments_)
      : arguments(arguments_), lists(arguments_.tokens, arguments_.window), lane(threadIdx.x % kWarp),
        warp(threadIdx.x / kWarp), team(threadIdx.x / kPixelLanes), window(arguments_.window),
        stride(int64_t{arguments_.groups} * arguments_.group_channels) {
    const int windows = (arguments.tokens + window - 1) / window;
    const int slices = (arguments.group_channels + kSliceChannels - 1) / kSliceChannels;
    int block = blockIdx.x;
    window_start = block % windows * window;
    block /= windows;
    channel = block % slices * kSliceChannels + threadIdx.x % kPixelLanes * kQuad;
    block /= slices;
    group = block % arguments.groups;
    first_token = int64_t{block / arguments.groups} * arguments.tokens;
    origin = first_token * stride + group * arguments.group_channels + channel;
  }

  // Call function(pixel, rank, same, token, share) for all corners of this warp's share of the points, in order: pixel
  // of the window, or -1; `same` lanes have that pixel, `rank` of them are before this one. Without SHARES they are 0.
  template <bool SHARES, typename Function>
  __device__ __forceinline__ void visit(Function function) const {
    const Map& map = arguments.map;
    const int points = arguments.tokens * kAnchors;
    const int rounds = (points + kListThreads - 1) / kListThreads;
    for (int round = 0; round < rounds; ++round) {
      const int item = (warp * rounds + round) * kWarp + lane, token = item / kAnchors;
      Point<S> point{};
      S weight = S(0);
      if (item < points) {
        const int64_t index =
            ((first_token + token) * arguments.groups + group) * kAnchors + (item - token * kAnchors);
        point = locate(map, token, item - token * kAnchors, load_offset(map, arguments.offset + index * 2));
        if (SHARES && point.counts) weight = load<T>(arguments.weight, index);
      }
#pragma unroll
      for (int i = 0; i < kCorners; ++i) {
        const int pixel = corner_token(map, point, i) - window_start;
        const bool counts = corner_token(map, point, i) >= 0 && pixel >= 0 && pixel < window;
        const unsigned same = __match_any_sync(kAllLanes, counts ? pixel : -1);
        const int rank = __popc(same & ((1u << lane) - 1));
        function(counts ? pixel : -1, rank, __popc(same), token, SHARES ? corner_share(point, i) * weight : S(0));
      }
    }
  }

  __device__ __forceinline__ void count() const {
    int* own = lists.places + warp * window;
    for (int pixel = lane; pixel < window; pixel += kWarp) own[pixel] = 0;
    __syncwarp();
    visit<false>([&](int pixel, int rank, int same, int, S) {
      if (pixel >= 0 && rank == 0) own[pixel] += same;
      __syncwarp();
    });
  }

  // Turn the counts of warps into places: by pixel, within a pixel by warp.
  __device__ __forceinline__ void sum_counts() const {
    __syncthreads();
    if (warp == 0) {
      int before = 0;
      for (int first = 0; first < window; first += kWarp) {
        const int pixel = first + lane;
        int count = 0;
        for (int w = 0; w < kListWarps && pixel < window; ++w) count += lists.places[w * window + pixel];
        int until = count;  // of the pixels up to this one
#pragma unroll
        for (int step = 1; step < kWarp; step *= 2) {
          const int more = __shfl_sync(kAllLanes, until, max(0, lane - step));
          if (lane >= step) until += more;
        }
        int place = before + until - count;
        if (pixel < window) lists.starts[pixel] = place;
        for (int w = 0; w < kListWarps && pixel < window; ++w) {
          const int own = lists.places[w * window + pixel];
          lists.places[w * window + pixel] = place;
          place += own;
        }
        before += __shfl_sync(kAllLanes, until, kWarp - 1);
      }
      if (lane == 0) lists.starts[window] = before;
    }
    __syncthreads();
  }

  __device__ __forceinline__ void fill() const {
    int* own = lists.places + warp * window;
    visit<true>([&](int pixel, int rank, int same, int token, S share) {
      const int place = pixel >= 0 ? own[pixel] : 0;
      const unsigned start = static_cast<unsigned>(token) * static_cast<unsigned>(stride);
      if (pixel >= 0) lists.entries[place + rank] = Entry<S>{start, share};
      __syncwarp();
      if (pixel >= 0 && rank == 0) own[pixel] = place + same;
      __syncwarp();
    });
    __syncthreads();
  }

  __device__ bool has_channel() const { return channel < arguments.group_channels; }

  // The sum over entries [first, last) in the lane's channels.
  __device__ __forceinline__ Quad add_up(int first, int last) const {
    Quad sum{};
    if (!has_channel()) return sum;
    const T* given = arguments.grad_u + origin;
#pragma unroll 4
    for (int i = first; i < last; ++i) {
      const Entry<S> entry = lists.entries[i];
      const auto found = load_quad(given + entry.start);
#pragma unroll
      for (int v = 0; v < kQuad; ++v) sum.values[v] += entry.share * found.values[v];
    }
    return sum;
  }

  __device__ __forceinline__ void write(int pixel, Quad sum) const {
    if (!has_channel() || window_start + pixel >= arguments.tokens) return;
    const int64_t at = origin + (window_start + pixel) * stride;
    if (arguments.D != nullptr) {
      const auto grad_y = load_quad(arguments.grad_y + at);
      const S* D = arguments.D + group * arguments.group_channels + channel;
#pragma unroll
      for (int v = 0; v < kQuad; ++v) sum.values[v] += D[v] * grad_y.values[v];
    }
    Pack<T, kQuad> pack;
#pragma unroll
    for (int v = 0; v < kQuad; ++v) put(pack.values[v], sum.values[v]);
    store_pack<kQuad>(arguments.grad_x + at, pack);
  }

  __device__ __forceinline__ void gather() const {
    for (int pixel = team; pixel < window; pixel += kTeams) {
      const int first = lists.starts[pixel], last = lists.starts[pixel + 1];
      if (last - first <= kLongList) write(pixel, add_up(first, last));
    }
    S* partial = lists.partial + threadIdx.x % kPixelLanes * kQuad;
    for (int pixel = 0; pixel < window; ++pixel) {
      const int first = lists.starts[pixel], count = lists.starts[pixel + 1] - first;
      if (count <= kLongList) continue;  // the same for all threads
      store_pack<kQuad>(partial + team * kSliceChannels,
                        add_up(first + count * team / kTeams, first + count * (team + 1) / kTeams));
      __syncthreads();
      if (team == 0) {
        Quad sum{};
        for (int other = 0; other < kTeams; ++other) {
          const auto more = load_pack<kQuad>(partial + other * kSliceChannels);
          for (int v = 0; v < kQuad; ++v) sum.values[v] += more.values[v];
        }
        write(pixel, sum);
      }
      __syncthreads();
    }
  }
};

template <typename T>
__global__ void __launch_bounds__(kListThreads, 2) lists_kernel(const Arguments<T> arguments) {
  const ListBlock<T> block(arguments);
  block.count();
  block.sum_counts();
  block.fill();
  block.gather();
}

// Whether the sizes are those of this file; numbers of a batch item are counted in 32 bits here.
template <typename T>
bool is_fast(const Arguments<T>& arguments) {
  uintptr_t addresses = 0;
  for (const void* address : {static_cast<const void*>(arguments.grad_u), static_cast<const void*>(arguments.x),
                              static_cast<const void*>(arguments.grad_x), static_cast<const void*>(arguments.grad_y),
                              static_cast<const void*>(arguments.offset),
                              static_cast<const void*>(arguments.grad_offset)}) {
    addresses |= reinterpret_cast<uintptr_t>(address);
  }
  const int64_t channels = int64_t{arguments.groups} * arguments.group_channels;
  return arguments.map.axes == 2 && arguments.map.anchors == kAnchors && arguments.group_channels % kQuad == 0 &&
         addresses % 16 == 0 && arguments.tokens * channels < INT32_MAX &&
         arguments.batch * arguments.tokens * arguments.groups < INT32_MAX;
}

template <typename T>
int launch_nine_points(const Arguments<T>& arguments, Stream stream) {
  constexpr int kPlaces = kWarps * kWarp / kTokenLanes;
  const int64_t rows = arguments.batch * arguments.tokens * arguments.groups;
  const size_t bytes = kPlaces * kAnchors * (sizeof(Pack<unsigned, kCorners>) + kCorners * sizeof(Work<T>));
  return launch(nine_points_kernel<T>, divide_up(rows, kPlaces), kWarps * kWarp, bytes, stream, arguments);
}

template <typename T>
bool lists_fit(const Arguments<T>& arguments, const Device& device) {
  return arguments.tokens < (1 << 16) &&
         Lists<Work<T>>::bytes(arguments.tokens, arguments.tokens) <= static_cast<size_t>(device.shared_block);
}

// All pixels in one block, or, where that makes too few blocks, a window of them in each.
template <typename T>
int launch_lists(Arguments<T> arguments, const Device& device, Stream stream) {
  const int64_t blocks = arguments.batch * arguments.groups * divide_up(arguments.group_channels, kSliceChannels);
  int window = arguments.tokens;
  while (window > kWarp && blocks * divide_up(arguments.tokens, window) < 2 * device.multiprocessors) {
    window = static_cast<int>(divide_up(window, 2));
  }
  arguments.window = window;
  return launch(lists_kernel<T>, blocks * divide_up(arguments.tokens, window), kListThreads,
                Lists<Work<T>>::bytes(arguments.tokens, window), stream, arguments);
}

}  // namespace
}  // namespace dfmamba::cuda
