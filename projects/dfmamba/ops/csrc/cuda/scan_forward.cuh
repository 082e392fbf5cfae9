// Forward scan, from a given u or from one that the same kernel samples (GATHER):
//
//   h_t = 2^(d_t A2) h_(t-1) + d_t B_t u_t        y_t = C_t . h_t + D skip_t
//
// A block works on tiles of 32 tokens, 16 in float64. NSPLIT warps scan one tile while four others, the producers,
// prepare the next (d, d u, B, C in shared memory) and write y of the one before, which lies where d was. With GATHER
// the block's slice of x lies in shared memory, followed by a row of zeros that stands for everything off the map.
//
// FAST is for the sizes of the models, in float32 and half precision: every thread of a scanning warp has all its four
// states, channels come in fours at addresses that are multiples of 16, what belongs to a batch item is counted in 32
// bits, and points are those of 3 x 3 anchors.

#pragma once

#include <algorithm>

#include "sampling.cuh"
#include "scan_common.cuh"

namespace dfmamba::cuda {

template <typename S>
constexpr int kTokens = sizeof(S) == 8 ? 16 : 32;  // a tile; float64 must leave room in 64 KiB of shared memory
constexpr int kProducers = 4;
template <typename S>
constexpr int kProducerTokens = kTokens<S> / kProducers;  // a warp's share of a tile: only it reads and writes these
constexpr int kQuad = 4;                                   // channels that a lane of a producer takes
constexpr int kRowLanes = kSlice / kQuad;                  // lanes a token
constexpr int kRowsAtOnce = kWarp / kRowLanes;             // tokens a warp
constexpr int kFastAnchors = 9;

template <typename T>
struct GatherArguments {
  Map map;
  int groups;
  unsigned reciprocal;  // token / width = high half of 2 token reciprocal
  const Work<T>* offset;
  Array weight;
};

// What the slice of x is kept in: FAST converts half precision once, not at every corner.
template <typename T, bool FAST>
using InSlice = std::conditional_t<FAST, Work<T>, T>;

// The two corners in a row of a point: where their rows of the slice of x start, in bytes, and their shares.
template <typename S>
struct alignas(2 * sizeof(Pack<S, 2>)) CornerPair {
  int left;
  S left_share;
  int right;
  S right_share;
};

template <typename S>
struct Tile {
  S* steps;   // (kTokens, kSlice, 2): d, d u; then y, -
  S *B, *C;   // (kTokens, 4 NSPLIT)
};

// Shared memory: two tiles, corners of one tile, slice of x.
template <typename T, int NSPLIT, bool FAST>
struct Layout {
  using S = Work<T>;
  using X = InSlice<T, FAST>;
  static constexpr int kSteps = kTokens<S> * kSlice * 2;
  static constexpr int kRows = kTokens<S> * kStates * NSPLIT;
  static constexpr int kTile = kSteps + 2 * kRows;

  __device__ static Tile<S> tile(int which) {
    S* start = reinterpret_cast<S*>(shared_memory()) + which * kTile;
    return {start, start + kSteps, start + kSteps + kRows};
  }
  __device__ static CornerPair<S>* corners() {
    return reinterpret_cast<CornerPair<S>*>(reinterpret_cast<S*>(shared_memory()) + 2 * kTile);
  }
  __device__ static X* slice(int anchors) { return reinterpret_cast<X*>(corners() + kTokens<S> * anchors * 2); }

  static size_t bytes() { return 2 * kTile * sizeof(S); }
  static size_t bytes(int64_t anchors, int64_t length) {
    return bytes() + kTokens<S> * anchors * 2 * sizeof(CornerPair<S>) + (length + 1) * kSlice * sizeof(X);
  }
};

// The recurrence over one tile. Tokens beyond the end have d = du = 0 and change nothing.
template <typename S, int NSPLIT, bool FAST>
__device__ __forceinline__ void scan_tile(const Tile<S>& tile, const Lane<S, NSPLIT>& lane, S (&h)[kStates]) {
  constexpr int kAtOnce = 4;  // tokens whose sums over the states are formed together
  constexpr int kHeld = NSPLIT < kAtOnce ? kAtOnce / NSPLIT : 1;
  constexpr int kStep = kSlice * 2, kWidth = kStates * NSPLIT;  // from one token to the next
  const int lane_in_warp = threadIdx.x % kWarp;
  S* steps = tile.steps + lane.channel * 2;
  const S *B = tile.B + lane.first_state, *C = tile.C + lane.first_state;
#pragma unroll 1
  for (int first = 0; first < kTokens<S>; first += kAtOnce) {
    S y[kAtOnce];
#pragma unroll
    for (int t = 0; t < kAtOnce; ++t) {
      const auto step = load_pack<2>(steps + t * kStep);
      const S d = step.values[0], du = step.values[1];
      const auto B_t = load_pack<kStates>(B + t * kWidth), C_t = load_pack<kStates>(C + t * kWidth);
      y[t] = S(0);
#pragma unroll
      for (int i = 0; i < kStates; ++i) {
        if (!FAST && i >= lane.states) continue;  // a state that is not there must not turn an infinite u into NaN
        h[i] = exp_2(d * lane.A2[i]) * h[i] + du * B_t.values[i];
        y[t] += C_t.values[i] * h[i];
      }
    }
    const int t = reduce_scatter<kAtOnce, NSPLIT, 1>(y, lane_in_warp);
    if (is_first_holder<kAtOnce, NSPLIT, 1>(lane_in_warp)) {
#pragma unroll
      for (int i = 0; i < kHeld; ++i) steps[(t + i) * kStep] = y[i];
    }
    steps += kAtOnce * kStep;
    B += kAtOnce * kWidth;
    C += kAtOnce * kWidth;
  }
}

// A warp that prepares tiles and writes y. Eight lanes share a token, each with four channels.
template <typename T, int NSPLIT, bool GATHER, bool FAST>
struct Producer {
  using S = Work<T>;
  using Plan = Layout<T, NSPLIT, FAST>;
  using X = InSlice<T, FAST>;
  using Quad = Pack<S, kQuad>;
  static constexpr int kPasses = kProducerTokens<S> / kRowsAtOnce;

  const ScanArguments<T>& scan;
  const GatherArguments<T>& gather;
  T* y;
  int batch;
  int slice, lane, own, row, column, channel, count;  // row, column: of the lane; channel, count: its channels
  int group;

  __device__ Producer(const ScanArguments<T>& scan_, const GatherArguments<T>& gather_, T* y_, int batch_,
                      int slice_)
      : scan(scan_), gather(gather_), y(y_), batch(batch_), slice(slice_), lane(threadIdx.x % kWarp),
        own((static_cast<int>(threadIdx.x) / kWarp - NSPLIT) * kProducerTokens<S>), row(own + lane / kRowLanes),
        column(lane % kRowLanes * kQuad), channel(slice_ * kSlice + column),
        count(max(0, min(kQuad, scan_.channels - channel))),
        group(GATHER ? slice_ * kSlice / (scan_.channels / gather_.groups) : 0) {}

  __device__ int64_t index(int token) const {
    if constexpr (!FAST) return scan.row(batch, token) * scan.channels;
    return scan.row(batch, 0) * scan.channels + static_cast<unsigned>(token) * static_cast<unsigned>(scan.channels);
  }

  // Four channels of a token; beyond the ends those of another one, so that all loads can be under way together.
  __device__ __forceinline__ Quad load_quad(const Array& array, int token) const {
    const int64_t start = index(min(token, scan.length - 1));
    Quad quad;
    if constexpr (FAST) {
      const int64_t at = start + min(channel, scan.channels - kQuad);
      if (std::is_same_v<T, S> || array.wide) return load_pack<kQuad>(static_cast<const S*>(array.data) + at);
      const auto found = load_pack<kQuad>(static_cast<const T*>(array.data) + at);
#pragma unroll
      for (int v = 0; v < kQuad; ++v) quad.values[v] = to_work(found.values[v]);
    } else {
#pragma unroll
      for (int v = 0; v < kQuad; ++v) quad.values[v] = load<T>(array, start + min(channel + v, scan.channels - 1));
    }
    return quad;
  }

  // The lane's numbers of a vector that may be absent. Not kept in registers, which are scarce.
  __device__ __forceinline__ Quad load_vector(const S* vector) const {
    Quad quad{};
    if (vector == nullptr) return quad;
    if constexpr (FAST) {
      return load_pack<kQuad>(vector + min(channel, scan.channels - kQuad));
    } else {
#pragma unroll
      for (int v = 0; v < kQuad; ++v) quad.values[v] = vector[min(channel + v, scan.channels - 1)];
    }
    return quad;
  }

  __device__ __forceinline__ Quad load_from_slice(const void* at) const {
    const auto found = load_pack<kQuad>(static_cast<const X*>(at));
    Quad quad;
#pragma unroll
    for (int v = 0; v < kQuad; ++v) quad.values[v] = to_work(found.values[v]);
    return quad;
  }

  __device__ int anchors() const { return FAST ? kFastAnchors : gather.map.anchors; }
  __device__ CornerPair<S>* own_corners() const { return Plan::corners() + own * anchors() * 2; }

  // List the corners of this warp's tokens.
  __device__ __forceinline__ void list_corners(int first) const {
    const Map& map = gather.map;
    CornerPair<S>* corners = own_corners();
    constexpr int kAtOnce = 3;  // points a lane has on their way from memory: all of them for 9 anchors
    const int points = kProducerTokens<S> * anchors();
    const int start_token = min(first + own, scan.length - 1), last = scan.length - 1 - start_token;
    const int64_t first_point = (scan.row(batch, start_token) * gather.groups + group) * anchors();
    const unsigned a_token = static_cast<unsigned>(gather.groups) * anchors();
    for (int start = lane; start < points; start += kAtOnce * kWarp) {
      Offset<S> offsets[kAtOnce];
      S weights[kAtOnce];
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        const int item = min(start + i * kWarp, points - 1), t = item / anchors();
        const int64_t at = first_point + (min(t, last) * a_token + (item - t * anchors()));
        if constexpr (FAST) {
          const auto found = load_pack<2>(gather.offset + at * 2);
          offsets[i] = {found.values[0], found.values[1]};
        } else {
          offsets[i] = load_offset(map, gather.offset + at * map.axes);
        }
        weights[i] = load<T>(gather.weight, at);
      }
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        const int item = start + i * kWarp, t = item / anchors(), anchor = item - t * anchors();
        if (item >= points) break;
        const int token = first + own + t, side = FAST ? 3 : map.side, anchor_row = anchor / side;
        const int map_row = FAST ? static_cast<int>(__umulhi(2 * static_cast<unsigned>(token), gather.reciprocal))
                                 : token / map.width;
        const int y0 = map_row + anchor_row - side / 2;
        const int x0 = token - map_row * map.width + anchor - anchor_row * side - side / 2;
        list_point(corners + item * 2, y0, x0, offsets[i], weights[i]);
      }
    }
  }

  // The corners of the point `offset` away from pixel (base_y, base_x): as in sampling.cuh, with fewer instructions.
  __device__ __forceinline__ void list_point(CornerPair<S>* pairs, int base_y, int base_x, const Offset<S>& offset,
                                             S weight) const {
    constexpr int kRowBytes = kSlice * sizeof(X);
    const Map& map = gather.map;
    const S x = S(base_x) + offset.x;
    const S y = FAST || map.axes == 2 ? S(base_y) + offset.y : S(0);
    const bool counts = y >= S(-1) && y < S(map.height) && x >= S(-1) && x < S(map.width);
    const int x0 = floor_to_int(x), y0 = floor_to_int(y);  // numbers that do not count become any integer
    const S fx = x - S(x0), fy = y - S(y0);
    const bool left = x0 >= 0, right = x0 < map.width - 1;
    const bool rows[2] = {counts && y0 >= 0, counts && y0 < map.height - 1};
    const S shares[2] = {(S(1) - fy) * weight, fy * weight};
    const int nothing = scan.length * kRowBytes;
    const unsigned start = static_cast<unsigned>(y0) * map.width + x0;  // unsigned: it may be any number, see above
#pragma unroll
    for (int down = 0; down < 2; ++down) {
      const int at = static_cast<int>((start + down * map.width) * kRowBytes);
      const bool has_left = rows[down] && left, has_right = rows[down] && right;
      pairs[down] = {has_left ? at : nothing, has_left ? shares[down] * (S(1) - fx) : S(0),
                     has_right ? at + kRowBytes : nothing, has_right ? shares[down] * fx : S(0)};
    }
  }

  // u of the lane's channels, of the token `t` of this warp.
  __device__ __forceinline__ Quad sample(int t) const {
    const CornerPair<S>* list = own_corners() + t * anchors() * 2;
    const char* x = reinterpret_cast<const char*>(Plan::slice(anchors()) + column);
    Quad sum{};
#pragma unroll FAST ? 6 : 2
    for (int i = 0; i < anchors() * 2; ++i) {
      const CornerPair<S> pair = list[i];
      const Quad left = load_from_slice(x + pair.left), right = load_from_slice(x + pair.right);
#pragma unroll
      for (int v = 0; v < kQuad; ++v) {
        sum.values[v] += pair.left_share * left.values[v];
        sum.values[v] += pair.right_share * right.values[v];
      }
    }
    return sum;
  }

  // Fill `tile` from token `first`, and write y of the tile that has been there before, from `first_before`, if any.
  __device__ __forceinline__ void prepare(const Tile<S>& tile, int first, int first_before) const {
    Quad delta[kPasses], u[kPasses];
    const Quad bias = load_vector(scan.delta_bias);
#pragma unroll
    for (int pass = 0; pass < kPasses; ++pass) {
      const int token = first + row + pass * kRowsAtOnce;
      delta[pass] = load_quad(scan.delta, token);
#pragma unroll
      for (int v = 0; v < kQuad; ++v) delta[pass].values[v] += bias.values[v];
      if constexpr (!GATHER) u[pass] = load_quad({scan.u, false}, token);
    }
    constexpr int kWidth = kStates * NSPLIT, kThreads = kProducers * kWarp;
    const int thread = threadIdx.x - NSPLIT * kWarp;
    stage_rows<T, kTokens<S>, kWidth, kThreads, FAST>(scan, scan.B, scan.row_B, batch, first, tile.B, thread);
    stage_rows<T, kTokens<S>, kWidth, kThreads, FAST>(scan, scan.C, scan.row_C, batch, first, tile.C, thread);
    if constexpr (GATHER) list_corners(first);
    if (first_before >= 0) finish(tile, first_before);
    if constexpr (GATHER) {
      __syncwarp();
#pragma unroll
      for (int pass = 0; pass < kPasses; ++pass) u[pass] = sample(lane / kRowLanes + pass * kRowsAtOnce);
      __syncwarp();
    }
#pragma unroll
    for (int pass = 0; pass < kPasses; ++pass) {
      const int t = row + pass * kRowsAtOnce;
      Quad steps[2];
#pragma unroll
      for (int v = 0; v < kQuad; ++v) {
        const bool inside = first + t < scan.length && v < count;
        const S d = inside ? step_size(scan, delta[pass].values[v]) : S(0);
        steps[v / 2].values[v % 2 * 2] = d;
        steps[v / 2].values[v % 2 * 2 + 1] = inside ? d * u[pass].values[v] : S(0);
      }
      for (int i = 0; i < 2; ++i) store_pack<kQuad>(tile.steps + (t * kSlice + column) * 2 + i * kQuad, steps[i]);
    }
  }

  __device__ __forceinline__ void finish(const Tile<S>& tile, int first) const {
#pragma unroll
    for (int pass = 0; pass < kPasses; ++pass) {
      const int t = row + pass * kRowsAtOnce, token = first + t;
      if (token >= scan.length || count == 0) break;
      Quad skip{};
      const Quad D = load_vector(scan.D);
      if (scan.D != nullptr) {
        skip = GATHER ? load_from_slice(Plan::slice(anchors()) + token * kSlice + column)
                      : load_quad({scan.x != nullptr ? scan.x : scan.u, false}, token);
      }
      Pack<T, kQuad> pack;
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const auto found = load_pack<kQuad>(tile.steps + (t * kSlice + column) * 2 + i * kQuad);
#pragma unroll
        for (int v = 0; v < 2; ++v) {
          const int at = i * 2 + v;
          S value = found.values[v * 2];
          if (scan.D != nullptr) value += D.values[at] * skip.values[at];
          put(pack.values[at], value);
        }
      }
      T* place = y + index(token) + channel;
      if constexpr (FAST) {
        store_pack<kQuad>(place, pack);
      } else {
        for (int v = 0; v < count; ++v) place[v] = pack.values[v];
      }
    }
  }
};

template <typename T, int NSPLIT, bool FAST>
__device__ __forceinline__ void load_slice(const ScanArguments<T>& scan, int anchors, int batch, int slice) {
  using X = InSlice<T, FAST>;
  X* rows = Layout<T, NSPLIT, FAST>::slice(anchors);
  const T* source = scan.x + scan.row(batch, 0) * scan.channels + slice * kSlice;
  for (int i = threadIdx.x; i < (scan.length + 1) * kRowLanes; i += (NSPLIT + kProducers) * kWarp) {
    const int token = i / kRowLanes, column = i % kRowLanes * kQuad;
    Pack<X, kQuad> pack;
    if (token < scan.length) {
      const auto found = load_pack<kQuad>(source + int64_t{token} * scan.channels + column);
      for (int v = 0; v < kQuad; ++v) put(pack.values[v], to_work(found.values[v]));
    } else {
      for (int v = 0; v < kQuad; ++v) put(pack.values[v], Work<T>(0));
    }
    store_pack<kQuad>(rows + token * kSlice + column, pack);
  }
  __syncthreads();
}

// Batch 32 of 320 channels gives a large GPU three blocks a multiprocessor; leave registers for as many.
template <typename T, int NSPLIT, bool GATHER, bool FAST>
__global__ void __launch_bounds__((NSPLIT + kProducers) * kWarp, NSPLIT == 16 ? 1 : 3)
    scan_forward_kernel(const ScanArguments<T> scan, const GatherArguments<T> gather, T* y) {
  using S = Work<T>;
  using Plan = Layout<T, NSPLIT, FAST>;
  const int slice = blockIdx.x % scan.slices();
  const int batch = blockIdx.x / scan.slices();
  const bool scans = threadIdx.x < NSPLIT * kWarp;
  if constexpr (GATHER) load_slice<T, NSPLIT, FAST>(scan, FAST ? kFastAnchors : gather.map.anchors, batch, slice);

  // Every thread passes the same barriers; what it does between them depends on its warp.
  const int tiles = (scan.length + kTokens<S> - 1) / kTokens<S>;
  const Lane<S, NSPLIT> lane(scan, slice, scans ? threadIdx.x : 0);
  const Producer<T, NSPLIT, GATHER, FAST> producer(scan, gather, y, batch, slice);
  S h[kStates] = {};
  for (int i = -1; i <= tiles; ++i) {
    if (scans) {
      if (i >= 0 && i < tiles) scan_tile<S, NSPLIT, FAST>(Plan::tile(i % 2), lane, h);
    } else if (i + 1 < tiles) {
      producer.prepare(Plan::tile((i + 1) % 2), (i + 1) * kTokens<S>, (i - 1) * kTokens<S>);
    } else if (i > 0) {
      producer.finish(Plan::tile((i - 1) % 2), (i - 1) * kTokens<S>);
    }
    __syncthreads();
  }
}

// Whether FAST can take a scan.
template <int NSPLIT>
bool is_fast(const ScanSizes& sizes, const ScanInputs& inputs, const void* y) {
  uintptr_t addresses = reinterpret_cast<uintptr_t>(y);
  for (const void* address : {inputs.u, inputs.delta.data, inputs.x, inputs.D, inputs.delta_bias}) {
    addresses |= reinterpret_cast<uintptr_t>(address);
  }
  const int64_t longest_row = std::max({sizes.channels, inputs.row_B, inputs.row_C});
  return sizes.states == kStates * NSPLIT && sizes.channels % kQuad == 0 && addresses % 16 == 0 &&
         longest_row < INT32_MAX / std::max<int64_t>(1, sizes.length);
}

}  // namespace dfmamba::cuda
