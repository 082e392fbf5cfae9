// What forward and backward scan share: how states and channels lie over the threads.
//
// A block owns one batch item and a slice of 32 channels. Four states of one channel live in the registers of one
// thread, so a channel takes NSPLIT threads in a row, NSPLIT = 1, 2, 4 or 16, and a warp holds 32 / NSPLIT channels.
// Time runs sequentially: this costs the fewest exponentials, and B_t, C_t serve all channels of the block.

#pragma once

#include "common.cuh"

namespace dfmamba::cuda {

constexpr int kSlice = 32;
constexpr int kStates = 4;  // a thread

template <typename T>
struct ScanArguments {
  int length, channels, states;
  bool softplus;
  const T* u;
  Array delta;
  const Work<T>* A;
  Array B, C;
  const Work<T>*D, *delta_bias;
  const T* x;
  int64_t row_B, row_C;

  __device__ int slices() const { return (channels + kSlice - 1) / kSlice; }
  __device__ int64_t row(int item, int token) const { return int64_t{item} * length + token; }  // of all tokens
};

template <typename T>
ScanArguments<T> make_scan_arguments(const ScanSizes& sizes, const ScanInputs& inputs) {
  using S = Work<T>;
  ScanArguments<T> scan{};
  scan.length = static_cast<int>(sizes.length);
  scan.channels = static_cast<int>(sizes.channels);
  scan.states = static_cast<int>(sizes.states);
  scan.softplus = sizes.softplus;
  scan.u = static_cast<const T*>(inputs.u);
  scan.delta = inputs.delta;
  scan.A = static_cast<const S*>(inputs.A);
  scan.B = inputs.B;
  scan.C = inputs.C;
  scan.D = static_cast<const S*>(inputs.D);
  scan.delta_bias = static_cast<const S*>(inputs.delta_bias);
  scan.x = static_cast<const T*>(inputs.x);
  scan.row_B = inputs.row_B;
  scan.row_C = inputs.row_C;
  return scan;
}

template <int N>
struct Split {
  static constexpr int value = N;
};

// Call function(Split<NSPLIT>{}) for the number of states. float64 is there to check gradients, not to be fast, and
// takes the one that fits all.
template <typename T, typename Function>
auto dispatch_split(int64_t states, Function function) {
  if constexpr (!std::is_same_v<T, double>) {
    if (states <= 4) return function(Split<1>{});
    if (states <= 8) return function(Split<2>{});
    if (states <= 16) return function(Split<4>{});
  }
  return function(Split<16>{});
}

// A thread's channel inside the slice, and its four states; the last threads may have fewer, or none.
template <typename S, int NSPLIT>
struct Lane {
  int channel, first_state, states;
  S A2[kStates];  // A log2(e): exp(d A) = 2^(d A2)

  template <typename T>
  __device__ Lane(const ScanArguments<T>& scan, int slice, int thread)
      : channel(thread / NSPLIT), first_state(thread % NSPLIT * kStates) {
    states = max(0, min(kStates, scan.states - first_state));
    const int64_t row = int64_t{slice} * kSlice + channel;
#pragma unroll
    for (int i = 0; i < kStates; ++i) {
      A2[i] = row < scan.channels && i < states ? scan.A[row * scan.states + first_state + i] * S(kLog2E) : S(0);
    }
  }
};

template <typename T>
__device__ __forceinline__ Work<T> step_size(const ScanArguments<T>& scan, Work<T> delta_and_bias) {
  return scan.softplus ? softplus(delta_and_bias) : delta_and_bias;
}

// Copy tokens [first, first + TOKENS) of B or C, (batch, L, N) with rows `stride` apart, into rows of WIDTH; 0 beyond
// the ends. With FULL, N is WIDTH, L times `stride` under 2^31, and beyond the last token stands that one again.
template <typename T, int TOKENS, int WIDTH, int THREADS, bool FULL = false>
__device__ __forceinline__ void stage_rows(const ScanArguments<T>& scan, const Array& source, int64_t stride, int batch,
                                           int first, Work<T>* rows, int thread) {
  constexpr bool kAll = TOKENS * WIDTH % THREADS == 0;  // all threads have as many numbers to copy
#pragma unroll 4
  for (int start = 0; start < TOKENS * WIDTH; start += THREADS) {
    const int i = start + thread, token = first + i / WIDTH, state = i % WIDTH;
    if (!kAll && i >= TOKENS * WIDTH) break;
    if constexpr (FULL) {
      const unsigned at = static_cast<unsigned>(min(token, scan.length - 1)) * static_cast<unsigned>(stride) + state;
      rows[i] = load<T>(source, scan.row(batch, 0) * stride + at);
    } else {
      const bool inside = token < scan.length && state < scan.states;
      rows[i] = inside ? load<T>(source, scan.row(batch, token) * stride + state) : Work<T>(0);
    }
  }
}

}  // namespace dfmamba::cuda
