// Forward scan, from a given u or from one that the same kernel samples (GATHER):
//
//   h_t = 2^(d_t A2) h_(t-1) + d_t B_t u_t        y_t = C_t . h_t + D skip_t
//
// A block works on tiles of 32 tokens, 16 in float64. NSPLIT warps scan one tile while four others, the producers,
// prepare the next (d, d u, B, C in shared memory) and write y of the one before. With GATHER the block's slice of x
// lies in shared memory, in T, followed by a row of zeros that stands for everything off the map.

#pragma once

#include "sampling.cuh"
#include "scan_common.cuh"

namespace dfmamba::cuda {

template <typename S>
constexpr int kTokens = sizeof(S) == 8 ? 16 : 32;  // a tile; float64 must leave room in 64 KiB of shared memory
constexpr int kProducers = 4;
template <typename S>
constexpr int kProducerTokens = kTokens<S> / kProducers;  // a warp's share of a tile: only it reads and writes these

template <typename T>
struct GatherArguments {
  Map map;
  int groups;
  const Work<T>* offset;
  Array weight;
};

template <typename S>
struct SharedCorner {
  int row;  // of the slice of x
  S share;
};

template <typename S>
struct Tile {
  S *d, *du;  // (kTokens, kSlice)
  S *B, *C;   // (kTokens, 4 NSPLIT)
  S* y;       // (kTokens, kSlice)
};

// Shared memory: two tiles, corners of one tile, slice of x.
template <typename T, int NSPLIT>
struct Layout {
  using S = Work<T>;
  static constexpr int kPlane = kTokens<S> * kSlice;
  static constexpr int kRows = kTokens<S> * kStates * NSPLIT;
  static constexpr int kTile = 3 * kPlane + 2 * kRows;

  __device__ static Tile<S> tile(int which) {
    S* start = reinterpret_cast<S*>(shared_memory()) + which * kTile;
    return {start, start + kPlane, start + 2 * kPlane, start + 2 * kPlane + kRows, start + 2 * kPlane + 2 * kRows};
  }
  __device__ static SharedCorner<S>* corners() {
    return reinterpret_cast<SharedCorner<S>*>(reinterpret_cast<S*>(shared_memory()) + 2 * kTile);
  }
  __device__ static T* slice(int anchors) { return reinterpret_cast<T*>(corners() + kTokens<S> * anchors * 4); }

  static size_t bytes() { return 2 * kTile * sizeof(S); }
  static size_t bytes(int64_t anchors, int64_t length) {
    return bytes() + kTokens<S> * anchors * 4 * sizeof(SharedCorner<S>) + (length + 1) * kSlice * sizeof(T);
  }
};

// The recurrence over one tile. Tokens beyond the end have d = du = 0 and change nothing.
template <typename S, int NSPLIT>
__device__ __forceinline__ void scan_tile(const Tile<S>& tile, const Lane<S, NSPLIT>& lane, S (&h)[kStates]) {
  constexpr int kAtOnce = 4;  // tokens whose sums over the states are formed together
  constexpr int kHeld = NSPLIT < kAtOnce ? kAtOnce / NSPLIT : 1;
  const int lane_in_warp = threadIdx.x % kWarp;
#pragma unroll 1
  for (int first = 0; first < kTokens<S>; first += kAtOnce) {
    S y[kAtOnce];
#pragma unroll
    for (int t = 0; t < kAtOnce; ++t) {
      const int token = first + t;
      const S d = tile.d[token * kSlice + lane.channel], du = tile.du[token * kSlice + lane.channel];
      const int row = token * kStates * NSPLIT + lane.first_state;
      const auto B = load_pack<kStates>(tile.B + row), C = load_pack<kStates>(tile.C + row);
      y[t] = S(0);
#pragma unroll
      for (int i = 0; i < kStates; ++i) {
        if (i >= lane.states) continue;  // a state that is not there must not turn an infinite u into NaN
        h[i] = exp_2(d * lane.A2[i]) * h[i] + du * B.values[i];
        y[t] += C.values[i] * h[i];
      }
    }
    const int t = first + reduce_scatter<kAtOnce, NSPLIT, 1>(y, lane_in_warp);
    if (is_first_holder<kAtOnce, NSPLIT, 1>(lane_in_warp)) {
#pragma unroll
      for (int i = 0; i < kHeld; ++i) tile.y[(t + i) * kSlice + lane.channel] = y[i];
    }
  }
}

// Fill tile.du with u of this warp's tokens, sampled from the slice of x.
template <typename T, int NSPLIT>
__device__ __forceinline__ void gather_tile(const ScanArguments<T>& scan, const GatherArguments<T>& gather,
                                            const Tile<Work<T>>& tile, int batch, int slice, int first) {
  using S = Work<T>;
  const int lane = threadIdx.x % kWarp, own = (threadIdx.x / kWarp - NSPLIT) * kProducerTokens<S>;
  const Map& map = gather.map;
  const int group = slice * kSlice / (scan.channels / gather.groups);
  SharedCorner<S>* corners = Layout<T, NSPLIT>::corners() + own * map.anchors * 4;
  constexpr int kAtOnce = 3;  // points a lane has on their way from memory: all of them for K = 9
  const int points = kProducerTokens<S> * map.anchors;
  for (int start = lane; start < points; start += kAtOnce * kWarp) {
    Offset<S> offsets[kAtOnce];
    S weights[kAtOnce];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const int item = min(start + i * kWarp, points - 1), t = item / map.anchors;
      const int token = min(first + own + t, scan.length - 1);
      const int64_t index = (scan.row(batch, token) * gather.groups + group) * map.anchors + item - t * map.anchors;
      offsets[i] = load_offset(map, gather.offset + index * map.axes);
      weights[i] = load<T>(gather.weight, index);
    }
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const int item = start + i * kWarp, t = item / map.anchors;
      if (item >= points) break;
      const auto point = locate(map, first + own + t, item - t * map.anchors, offsets[i]);
      for (int j = 0; j < 4; ++j) {
        const int row = corner_token(map, point, j);
        corners[item * 4 + j] = row < 0 ? SharedCorner<S>{scan.length, S(0)}
                                        : SharedCorner<S>{row, corner_share(point, j) * weights[i]};
      }
    }
  }
  __syncwarp();
  // Half a warp a token, two channels a lane.
  const T* x = Layout<T, NSPLIT>::slice(map.anchors) + lane % 16 * 2;
  for (int t = lane / 16; t < kProducerTokens<S>; t += 2) {
    const SharedCorner<S>* list = corners + t * map.anchors * 4;
    Pack<S, 2> sum{};
#pragma unroll 4
    for (int i = 0; i < map.anchors * 4; ++i) {
      const SharedCorner<S> corner = list[i];
      const auto found = load_pack<2>(x + corner.row * kSlice);
      for (int v = 0; v < 2; ++v) sum.values[v] += corner.share * to_work(found.values[v]);
    }
    store_pack<2>(tile.du + (own + t) * kSlice + lane % 16 * 2, sum);
  }
  __syncwarp();
}

template <typename T, int NSPLIT, bool GATHER>
struct Producer {
  using S = Work<T>;
  const ScanArguments<T>& scan;
  const GatherArguments<T>& gather;
  T* y;
  int batch;
  int slice, lane, own, channel;
  S bias, D;

  __device__ Producer(const ScanArguments<T>& scan_, const GatherArguments<T>& gather_, T* y_, int batch_,
                      int slice_)
      : scan(scan_), gather(gather_), y(y_), batch(batch_), slice(slice_), lane(threadIdx.x % kWarp),
        own((static_cast<int>(threadIdx.x) / kWarp - NSPLIT) * kProducerTokens<S>), channel(slice_ * kSlice + lane),
        bias(S(0)), D(S(0)) {
    if (channel < scan.channels && scan.delta_bias != nullptr) bias = scan.delta_bias[channel];
    if (channel < scan.channels && scan.D != nullptr) D = scan.D[channel];
  }

  __device__ int64_t index(int token) const { return scan.row(batch, token) * scan.channels + channel; }
  __device__ int64_t nearest_index(int token) const {
    return scan.row(batch, min(token, scan.length - 1)) * scan.channels + min(channel, scan.channels - 1);
  }

  // All loads come first, so that they are under way together; beyond the ends they fetch something else instead.
  __device__ __forceinline__ void prepare(const Tile<S>& tile, int first) const {
    S delta[kProducerTokens<S>], u[kProducerTokens<S>] = {};
#pragma unroll
    for (int i = 0; i < kProducerTokens<S>; ++i) {
      const int64_t at = nearest_index(first + own + i);
      delta[i] = load<T>(scan.delta, at) + bias;
      if constexpr (!GATHER) u[i] = to_work(scan.u[at]);
    }
    constexpr int kWidth = kStates * NSPLIT, kThreads = kProducers * kWarp;
    const int thread = threadIdx.x - NSPLIT * kWarp;
    stage_rows<T, kTokens<S>, kWidth, kThreads>(scan, scan.B, scan.row_B, batch, first, tile.B, thread);
    stage_rows<T, kTokens<S>, kWidth, kThreads>(scan, scan.C, scan.row_C, batch, first, tile.C, thread);
    if constexpr (GATHER) gather_tile<T, NSPLIT>(scan, gather, tile, batch, slice, first);
#pragma unroll
    for (int i = 0; i < kProducerTokens<S>; ++i) {
      const int place = (own + i) * kSlice + lane;
      const bool inside = first + own + i < scan.length && channel < scan.channels;
      const S d = inside ? step_size(scan, delta[i]) : S(0);
      tile.d[place] = d;
      tile.du[place] = inside ? d * (GATHER ? tile.du[place] : u[i]) : S(0);
    }
  }

  __device__ __forceinline__ S skip(int token) const {
    if constexpr (GATHER) return to_work(Layout<T, NSPLIT>::slice(gather.map.anchors)[token * kSlice + lane]);
    return to_work((scan.x != nullptr ? scan.x : scan.u)[index(token)]);
  }

  __device__ __forceinline__ void finish(const Tile<S>& tile, int first) const {
    if (channel >= scan.channels) return;
#pragma unroll
    for (int t = own; t < own + kProducerTokens<S>; ++t) {
      if (first + t >= scan.length) break;
      S value = tile.y[t * kSlice + lane];
      if (scan.D != nullptr) value += D * skip(first + t);
      put(y[index(first + t)], value);
    }
  }
};

template <typename T, int NSPLIT>
__device__ __forceinline__ void load_slice(const ScanArguments<T>& scan, int anchors, int batch, int slice) {
  constexpr int kWide = 16 / sizeof(T), kPacks = kSlice / kWide;
  T* rows = Layout<T, NSPLIT>::slice(anchors);
  const T* source = scan.x + scan.row(batch, 0) * scan.channels + slice * kSlice;
  for (int i = threadIdx.x; i < (scan.length + 1) * kPacks; i += (NSPLIT + kProducers) * kWarp) {
    const int token = i / kPacks, column = i % kPacks * kWide;
    Pack<T, kWide> pack;
    for (int v = 0; v < kWide; ++v) put(pack.values[v], Work<T>(0));
    if (token < scan.length) pack = load_pack<kWide>(source + int64_t{token} * scan.channels + column);
    store_pack<kWide>(rows + token * kSlice + column, pack);
  }
  __syncthreads();
}

// Batch 32 of 320 channels gives a large GPU three blocks a multiprocessor; leave registers for as many.
template <typename T, int NSPLIT, bool GATHER>
__global__ void __launch_bounds__((NSPLIT + kProducers) * kWarp, NSPLIT == 16 ? 1 : 3)
    scan_forward_kernel(const ScanArguments<T> scan, const GatherArguments<T> gather, T* y) {
  using S = Work<T>;
  using Plan = Layout<T, NSPLIT>;
  const int slice = blockIdx.x % scan.slices();
  const int batch = blockIdx.x / scan.slices();
  const bool scans = threadIdx.x < NSPLIT * kWarp;
  if constexpr (GATHER) load_slice<T, NSPLIT>(scan, gather.map.anchors, batch, slice);

  // Every thread passes the same barriers; what it does between them depends on its warp.
  const int tiles = (scan.length + kTokens<S> - 1) / kTokens<S>;
  const Lane<S, NSPLIT> lane(scan, slice, scans ? threadIdx.x : 0);
  const Producer<T, NSPLIT, GATHER> producer(scan, gather, y, batch, slice);
  S h[kStates] = {};
  for (int i = -1; i <= tiles; ++i) {
    if (scans) {
      if (i >= 0 && i < tiles) scan_tile<S, NSPLIT>(Plan::tile(i % 2), lane, h);
    } else {
      if (i + 1 < tiles) producer.prepare(Plan::tile((i + 1) % 2), (i + 1) * kTokens<S>);
      if (i > 0) producer.finish(Plan::tile((i - 1) % 2), (i - 1) * kTokens<S>);
    }
    __syncthreads();
  }
}

}  // namespace dfmamba::cuda
