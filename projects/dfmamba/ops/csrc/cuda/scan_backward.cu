// Gradients of the scan. With e = grad_y, q_t = a_t h_(t-1) and a_t = 2^(d_t A2), from the last token to the first:
//
//   gam_t = e_t C_t + a_(t+1) gam_(t+1)
//   grad_C_t = sum_c e_t h_t                 grad_B_t = sum_c gam_t d_t u_t
//   grad_u_t = d_t sum_n gam_t B_t           grad_d_t = u_t sum_n gam_t B_t + sum_n gam_t q_t A
//   grad_A = sum_t gam_t d_t q_t             grad_delta = grad_d d'(delta),  softplus' = sigmoid = 1 - exp(-d)
//   grad_D = sum_t e_t skip_t                grad_skip = D e
//
// A block first runs forward and writes the state before every chunk of 8 tokens (2 in float64) to scratch memory.
// Then, from the end, it reads such a state, runs its tokens again with a and h in registers, and goes back through
// them. Sums over channels or batch items that cross blocks are written as one term a block, then added in order by
// `sum_kernel`: no atomics.

#include "scan_common.cuh"

namespace dfmamba::cuda {
namespace {

template <typename S>
constexpr int kChunk = sizeof(S) == 8 ? 2 : 8;  // float64 must leave room in 64 KiB of shared memory

template <typename S, int NSPLIT>
constexpr int kTile = NSPLIT == 16 ? kChunk<S> : 32;  // tokens in shared memory at once

// Scratch memory, in numbers of type W. States: (block, chunk, thread, 4). B and C: (slice, 2, batch, L, N). A: (batch,
// channels, N). Vectors, delta_bias and D: (batch, 2, channels).
struct Scratch {
  int64_t states, rows, A, vectors, total;
};

template <typename T>
Scratch plan_scratch(const ScanSizes& sizes) {
  const int64_t slices = divide_up(sizes.channels, kSlice);
  const int64_t threads = dispatch_split<T>(sizes.states, [](auto split) { return decltype(split)::value * kWarp; });
  Scratch plan{};
  plan.rows = sizes.batch * slices * divide_up(sizes.length, kChunk<Work<T>>) * threads * kStates;
  plan.A = plan.rows + slices * 2 * sizes.batch * sizes.length * sizes.states;
  plan.vectors = plan.A + sizes.batch * sizes.channels * sizes.states;
  plan.total = plan.vectors + sizes.batch * 2 * sizes.channels;
  return plan;
}

template <typename T>
struct BackwardArguments {
  int64_t batch;
  const T* grad_y;
  T* grad_u;
  MutableArray grad_delta;
  T* grad_x;
  Work<T>*states, *rows, *A, *vectors;
};

template <typename S, int NSPLIT>
struct BackwardTile {
  static constexpr int kTokens = kTile<S, NSPLIT>, kWidth = kStates * NSPLIT;
  static constexpr int kPlane = kTokens * kSlice, kRows = kTokens * kWidth;
  static constexpr size_t kBytes = (5 * kPlane + 2 * kRows + NSPLIT * 2 * kRows) * sizeof(S);

  S *d, *u, *e;           // (tokens, channels)
  S *gam_B, *gam_q_A;     // (tokens, channels): the sums over the states, the second with A2 for A
  S *B, *C;               // (tokens, states)
  S* terms;               // (warp, 2, tokens, states): grad_B and grad_C, summed over the warp's channels

  __device__ BackwardTile() {
    d = reinterpret_cast<S*>(shared_memory());
    u = d + kPlane;
    e = u + kPlane;
    gam_B = e + kPlane;
    gam_q_A = gam_B + kPlane;
    B = gam_q_A + kPlane;
    C = B + kRows;
    terms = C + kRows;
  }
};

template <typename T, int NSPLIT>
struct Block {
  using S = Work<T>;
  using Tile = BackwardTile<S, NSPLIT>;
  static constexpr int kThreads = NSPLIT * kWarp;

  const ScanArguments<T>& scan;
  const BackwardArguments<T>& backward;
  Tile tile;
  int batch, slice, lane, warp, channel;  // while a tile is loaded or written, a lane has a channel and a warp a token
  S bias, D;

  __device__ Block(const ScanArguments<T>& scan_, const BackwardArguments<T>& backward_)
      : scan(scan_), backward(backward_), batch(blockIdx.x / scan_.slices()), slice(blockIdx.x % scan_.slices()),
        lane(threadIdx.x % kWarp), warp(threadIdx.x / kWarp), channel(slice * kSlice + lane), bias(S(0)), D(S(0)) {
    if (channel < scan.channels && scan.delta_bias != nullptr) bias = scan.delta_bias[channel];
    if (channel < scan.channels && scan.D != nullptr) D = scan.D[channel];
  }

  __device__ bool is_inside(int token) const { return token < scan.length && channel < scan.channels; }
  __device__ int64_t index(int token) const { return scan.row(batch, token) * scan.channels + channel; }

  __device__ int64_t nearest_index(int token) const {
    return scan.row(batch, min(token, scan.length - 1)) * scan.channels + min(channel, scan.channels - 1);
  }

  // Fill the tile from token `first`; beyond the ends all is 0, and such tokens change nothing. All loads of a batch
  // come first, so that they are under way together.
  __device__ void stage(int first, bool reverse) const {
    constexpr int kBatch = NSPLIT == 16 ? 1 : 8;
    for (int start = warp; start < Tile::kTokens; start += kBatch * NSPLIT) {
      S delta[kBatch], u[kBatch], e[kBatch];
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        const int64_t at = nearest_index(first + start + i * NSPLIT);
        delta[i] = load<T>(scan.delta, at) + bias;
        u[i] = to_work(scan.u[at]);
        e[i] = reverse ? to_work(backward.grad_y[at]) : S(0);
      }
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        const int t = start + i * NSPLIT, place = t * kSlice + lane;
        const bool inside = is_inside(first + t);
        tile.d[place] = inside ? step_size(scan, delta[i]) : S(0);
        tile.u[place] = inside ? u[i] : S(0);
        tile.e[place] = inside ? e[i] : S(0);
      }
    }
    constexpr int kTokens = Tile::kTokens, kWidth = Tile::kWidth;
    const int thread = threadIdx.x;
    stage_rows<T, kTokens, kWidth, kThreads>(scan, scan.B, scan.row_B, batch, first, tile.B, thread);
    if (reverse) stage_rows<T, kTokens, kWidth, kThreads>(scan, scan.C, scan.row_C, batch, first, tile.C, thread);
  }

  // The state before the first token of a chunk, in scratch memory.
  __device__ S* saved_state(int chunk) const {
    const int64_t chunks = (scan.length + kChunk<S> - 1) / kChunk<S>;
    return backward.states + ((int64_t{blockIdx.x} * chunks + chunk) * kThreads + threadIdx.x) * kStates;
  }

  __device__ void run_forward(const Lane<S, NSPLIT>& own) const {
    Pack<S, kStates> h{};
    for (int first = 0; first < scan.length; first += Tile::kTokens) {
      __syncthreads();
      stage(first, false);
      __syncthreads();
      for (int start = 0; start < Tile::kTokens && first + start < scan.length; start += kChunk<S>) {
        store_pack<kStates>(saved_state((first + start) / kChunk<S>), h);
#pragma unroll
        for (int t = start; t < start + kChunk<S>; ++t) {
          const S d = tile.d[t * kSlice + own.channel], du = d * tile.u[t * kSlice + own.channel];
          const auto B = load_pack<kStates>(tile.B + t * Tile::kWidth + own.first_state);
#pragma unroll
          for (int i = 0; i < kStates; ++i) {
            if (i < own.states) h.values[i] = exp_2(d * own.A2[i]) * h.values[i] + du * B.values[i];
          }
        }
      }
    }
  }

  // One chunk, forwards then backwards. carry = a_(t+1) gam_(t+1).
  __device__ __forceinline__ void run_chunk(const Lane<S, NSPLIT>& own, int start, int chunk, S (&carry)[kStates],
                                            S (&grad_A)[kStates]) const {
    constexpr int kLanes = kWarp / NSPLIT;  // channels of a warp
    constexpr int kHeld = 2 * kStates > kLanes ? 2 * kStates / kLanes : 1;
    const auto saved = load_pack<kStates>(saved_state(chunk));
    S a[kChunk<S>][kStates] = {}, h[kChunk<S> + 1][kStates] = {};
#pragma unroll
    for (int i = 0; i < kStates; ++i) h[0][i] = saved.values[i];
#pragma unroll
    for (int t = 0; t < kChunk<S>; ++t) {
      const int place = (start + t) * kSlice + own.channel;
      const S d = tile.d[place], du = d * tile.u[place];
      const auto B = load_pack<kStates>(tile.B + (start + t) * Tile::kWidth + own.first_state);
#pragma unroll
      for (int i = 0; i < kStates; ++i) {
        if (i >= own.states) continue;
        a[t][i] = exp_2(d * own.A2[i]);
        h[t + 1][i] = a[t][i] * h[t][i] + du * B.values[i];
      }
    }
#pragma unroll
    for (int t = kChunk<S> - 1; t >= 0; --t) {
      const int place = (start + t) * kSlice + own.channel, row = (start + t) * Tile::kWidth;
      const S d = tile.d[place], du = d * tile.u[place], e = tile.e[place];
      const auto B = load_pack<kStates>(tile.B + row + own.first_state);
      const auto C = load_pack<kStates>(tile.C + row + own.first_state);
      S terms[2 * kStates] = {}, sums[2] = {};
#pragma unroll
      for (int i = 0; i < kStates; ++i) {
        if (i >= own.states) continue;
        const S gam = e * C.values[i] + carry[i];
        const S gam_q = gam * (a[t][i] * h[t][i]);
        terms[i] = gam * du;
        terms[kStates + i] = e * h[t + 1][i];
        sums[0] += gam * B.values[i];
        sums[1] += gam_q * own.A2[i];
        grad_A[i] += gam_q * d;
        carry[i] = a[t][i] * gam;
      }
      const int term = reduce_scatter<2 * kStates, kLanes, NSPLIT>(terms, lane);
      if (is_first_holder<2 * kStates, kLanes, NSPLIT>(lane)) {
#pragma unroll
        for (int i = 0; i < kHeld; ++i) {
          const int kind = (term + i) / kStates, state = own.first_state + (term + i) % kStates;
          tile.terms[(warp * 2 + kind) * Tile::kRows + row + state] = terms[i];
        }
      }
      const int sum = reduce_scatter<2, NSPLIT, 1>(sums, lane);
      if (is_first_holder<2, NSPLIT, 1>(lane)) {
        if (NSPLIT == 1) tile.gam_q_A[place] = sums[1];
        (sum == 0 ? tile.gam_B : tile.gam_q_A)[place] = sums[0];
      }
    }
  }

  // Everything that belongs to a single token.
  __device__ void write_tile(int first, S& grad_bias, S& grad_D) const {
    for (int t = warp; t < Tile::kTokens; t += NSPLIT) {
      if (!is_inside(first + t)) continue;
      const int place = t * kSlice + lane;
      const int64_t at = index(first + t);
      const S d = tile.d[place], u = tile.u[place], e = tile.e[place], gam_B = tile.gam_B[place];
      const S skip = scan.x != nullptr ? to_work(scan.x[at]) : u;
      const S grad_skip = scan.D != nullptr ? D * e : S(0);
      const S grad_d = u * gam_B + S(kLn2) * tile.gam_q_A[place];
      const bool curved = scan.softplus && !(d > S(20));  // as in softplus()
      const S grad_delta = curved ? -expm1(-d) * grad_d : grad_d;
      grad_bias += grad_delta;
      grad_D += e * skip;
      store<T>(backward.grad_delta, at, grad_delta);
      put(backward.grad_u[at], scan.x != nullptr ? d * gam_B : d * gam_B + grad_skip);
      if (backward.grad_x != nullptr) put(backward.grad_x[at], grad_skip);
    }
    for (int i = threadIdx.x; i < 2 * Tile::kRows; i += kThreads) {
      const int kind = i / Tile::kRows, token = first + i % Tile::kRows / Tile::kWidth, state = i % Tile::kWidth;
      if (token >= scan.length || state >= scan.states) continue;
      S sum = S(0);
      for (int w = 0; w < NSPLIT; ++w) sum += tile.terms[w * 2 * Tile::kRows + i];
      const int64_t row = ((int64_t{slice} * 2 + kind) * backward.batch + batch) * scan.length + token;
      backward.rows[row * scan.states + state] = sum;
    }
  }

  __device__ void run_backward(const Lane<S, NSPLIT>& own) const {
    S carry[kStates] = {}, grad_A[kStates] = {}, grad_bias = S(0), grad_D = S(0);
    const int tiles = (scan.length + Tile::kTokens - 1) / Tile::kTokens;
    for (int first = (tiles - 1) * Tile::kTokens; first >= 0; first -= Tile::kTokens) {
      __syncthreads();
      stage(first, true);
      __syncthreads();
      for (int start = Tile::kTokens - kChunk<S>; start >= 0; start -= kChunk<S>) {
        if (first + start < scan.length) run_chunk(own, start, (first + start) / kChunk<S>, carry, grad_A);
      }
      __syncthreads();
      write_tile(first, grad_bias, grad_D);
    }
    write_grad_A(own, grad_A);
    write_vectors(grad_bias, grad_D);
  }

  __device__ void write_grad_A(const Lane<S, NSPLIT>& own, const S (&grad_A)[kStates]) const {
    const int row = slice * kSlice + own.channel;
    if (row >= scan.channels) return;
#pragma unroll
    for (int i = 0; i < kStates; ++i) {
      if (i >= own.states) continue;
      backward.A[(int64_t{batch} * scan.channels + row) * scan.states + own.first_state + i] = grad_A[i];
    }
  }

  // Add up the warps' shares of grad_delta_bias and grad_D.
  __device__ void write_vectors(S grad_bias, S grad_D) const {
    __syncthreads();
    S *biases = tile.terms, *skips = tile.terms + kThreads;
    biases[threadIdx.x] = grad_bias;
    skips[threadIdx.x] = grad_D;
    __syncthreads();
    if (warp != 0 || channel >= scan.channels) return;
    S sums[2] = {};
    for (int w = 0; w < NSPLIT; ++w) {
      sums[0] += biases[w * kWarp + lane];
      sums[1] += skips[w * kWarp + lane];
    }
    for (int i = 0; i < 2; ++i) backward.vectors[(int64_t{batch} * 2 + i) * scan.channels + channel] = sums[i];
  }
};

// Batch 32 of 320 channels gives a large GPU three blocks a multiprocessor; leave registers for as many.
template <typename T, int NSPLIT>
__global__ void __launch_bounds__(NSPLIT* kWarp, NSPLIT == 16 ? 1 : 3)
    scan_backward_kernel(const ScanArguments<T> scan, const BackwardArguments<T> backward) {
  const Block<T, NSPLIT> block(scan, backward);
  const Lane<Work<T>, NSPLIT> own(scan, block.slice, threadIdx.x);
  block.run_forward(own);
  block.run_backward(own);
}

template <typename S>
struct Sum {
  MutableArray out;
  const S* terms;
  int64_t count, number_of_terms, stride;
};

constexpr int kSums = 5;
constexpr int kSumThreads = 128;

template <typename S>
struct Sums {
  Sum<S> all[kSums];
};

// out[i] = sum_j terms[i + j stride], in order.
template <typename T>
__global__ void __launch_bounds__(kSumThreads) sum_kernel(const Sums<Work<T>> sums) {
  int64_t i = int64_t{blockIdx.x} * kSumThreads + threadIdx.x;
#pragma unroll
  for (int k = 0; k < kSums; ++k) {
    const auto& sum = sums.all[k];
    if (i >= 0 && i < sum.count) {
      Work<T> value = 0;
      for (int64_t j = 0; j < sum.number_of_terms; ++j) value += sum.terms[i + j * sum.stride];
      store<T>(sum.out, i, value);
    }
    i -= sum.count;
  }
}

template <typename T>
int launch_sums(const ScanSizes& sizes, const ScanGradients& gradients, const Scratch& plan, const Work<T>* scratch,
                Stream stream) {
  const int64_t rows = sizes.batch * sizes.length * sizes.states, slices = divide_up(sizes.channels, kSlice);
  const int64_t channels = sizes.channels, matrix = channels * sizes.states;
  const auto *terms = scratch + plan.rows, *vectors = scratch + plan.vectors;
  const Sums<Work<T>> sums{{
      {gradients.B, terms, rows, slices, 2 * rows},
      {gradients.C, terms + rows, rows, slices, 2 * rows},
      {{gradients.A, true}, scratch + plan.A, matrix, sizes.batch, matrix},
      {{gradients.delta_bias, true}, vectors, gradients.delta_bias ? channels : 0, sizes.batch, 2 * channels},
      {{gradients.D, true}, vectors + channels, gradients.D ? channels : 0, sizes.batch, 2 * channels},
  }};
  int64_t count = 0;
  for (const auto& sum : sums.all) count += sum.count;
  return launch(sum_kernel<T>, divide_up(count, kSumThreads), kSumThreads, 0, stream, sums);
}

}  // namespace

size_t scan_backward_workspace(DType dtype, const ScanSizes& sizes) {
  return dispatch_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    return static_cast<size_t>(plan_scratch<T>(sizes).total) * sizeof(Work<T>);
  });
}

int scan_backward(DType dtype, const ScanSizes& sizes, const ScanInputs& inputs, const void* grad_y,
                  const ScanGradients& gradients, void* workspace, Stream stream) {
  return dispatch_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using S = Work<T>;
    const Scratch plan = plan_scratch<T>(sizes);
    S* scratch = static_cast<S*>(workspace);
    const BackwardArguments<T> backward{sizes.batch,
                                        static_cast<const T*>(grad_y),
                                        static_cast<T*>(gradients.u),
                                        gradients.delta,
                                        static_cast<T*>(gradients.x),
                                        scratch + plan.states,
                                        scratch + plan.rows,
                                        scratch + plan.A,
                                        scratch + plan.vectors};
    const int error = dispatch_split<T>(sizes.states, [&](auto split) {
      constexpr int kSplit = decltype(split)::value;
      const int64_t blocks = sizes.batch * divide_up(sizes.channels, kSlice);
      return launch(scan_backward_kernel<T, kSplit>, blocks, kSplit * kWarp, BackwardTile<S, kSplit>::kBytes, stream,
                    make_scan_arguments<T>(sizes, inputs), backward);
    });
    if (error != 0) return error;
    return launch_sums<T>(sizes, gradients, plan, scratch, stream);
  });
}

}  // namespace dfmamba::cuda
