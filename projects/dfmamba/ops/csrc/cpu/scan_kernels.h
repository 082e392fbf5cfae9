// The selective scan, one vector of channels at a time (arXiv 2512.02727, Eq. 3 and Mamba's discretisation):
//
//     d = softplus(delta + bias)    h_t = exp(d_t A) h_(t-1) + d_t B_t u_t    y_t = C_t . h_t + D x_t
//
// Channels lie in the lanes, so B_t and C_t are the same for all lanes and time runs in a plain loop.
#pragma once

#include "kernels.h"
#include "vector.h"

namespace {

using dfmamba::ScanArgs;
using dfmamba::ScanGrads;

constexpr int64_t kMaxStates = 64;
constexpr int64_t kTile = 32;  // tokens whose step sizes are computed ahead, away from the recurrence: they overlap

// One block: the channels of one vector.
template <typename T>
struct Block {
  int64_t channel, count;  // the first channel, and how many of the lanes are real
  Vec<T> A[kMaxStates];
  Vec<T> A_log2e[kMaxStates];  // exp(d A) is computed as 2^(d A log2(e))
  Vec<T> bias, D;

  Block(const ScanArgs<T>& args, int64_t number) : channel(number * kLanes<T>) {
    const int64_t left = args.channels - channel;
    count = left < kLanes<T> ? left : kLanes<T>;
    const Vec<T> zero = {};
    for (int64_t n = 0; n < args.states; ++n) {
      A[n] = zero;
      for (int64_t i = 0; i < count; ++i) A[n][i] = args.A[(channel + i) * args.states + n];
      A_log2e[n] = A[n] * T(1.44269504088896340736);
    }
    bias = args.bias != nullptr ? load(args.bias + channel, count) : zero;
    D = args.D != nullptr ? load(args.D + channel, count) : zero;
  }

  // The step sizes d of the tokens begin..end, and their derivatives with respect to delta unless slope is null. What
  // the recurrence will read of these tokens is fetched on the way: it steps over whole rows and would wait for each.
  inline void steps(const ScanArgs<T>& args, int64_t begin, int64_t end, Vec<T>* d, Vec<T>* slope) const {
    for (int64_t t = 0; t < end - begin; ++t) {
      const int64_t at = (begin + t) * args.channels + channel;
      __builtin_prefetch(args.u + at);
      if (slope != nullptr) __builtin_prefetch(args.grad_y + at), __builtin_prefetch(args.skip + at);
      const Vec<T> s = load(args.delta + at, count) + bias;
      if (args.softplus) {
        d[t] = softplus<T>(s, slope == nullptr ? nullptr : slope + t);
      } else {
        d[t] = s;
        if (slope != nullptr) slope[t] = Vec<T>{} + T(1);
      }
    }
  }
};

// Calls work(begin, end) for one tile of tokens after the other.
template <typename Work>
inline void for_token_tiles(int64_t begin, int64_t end, const Work& work) {
  for (; begin < end; begin += kTile) work(begin, begin + kTile < end ? begin + kTile : end);
}

template <typename T, int kStates>  // kStates 0: only known at run time
void scan_states(const ScanArgs<T>& args, int64_t image, int64_t number, T* y) {
  const Block<T> block(args, number);
  const int64_t states = kStates > 0 ? kStates : args.states;
  Vec<T> h[kStates > 0 ? kStates : kMaxStates];
  for (int64_t n = 0; n < states; ++n) h[n] = Vec<T>{};
  for_token_tiles(image * args.length, (image + 1) * args.length, [&](int64_t begin, int64_t end) {
    Vec<T> d[kTile];
    block.steps(args, begin, end, d, nullptr);
    for (int64_t token = begin; token < end; ++token) {
      const int64_t at = token * args.channels + block.channel;
      const T* B = args.B + token * args.row_B;
      const T* C = args.C + token * args.row_C;
      const Vec<T> step = d[token - begin], input = step * load(args.u + at, block.count);
      Vec<T> out = args.D != nullptr ? block.D * load(args.skip + at, block.count) : Vec<T>{};
      for (int64_t n = 0; n < states; ++n) {
        h[n] = exp2<T>(step * block.A_log2e[n]) * h[n] + input * B[n];
        out += h[n] * C[n];
      }
      store(y + at, out, block.count);
    }
  });
}

template <typename T>
void scan(const ScanArgs<T>& args, int64_t image, int64_t number, T* y) {
  if (args.states == 8) return scan_states<T, 8>(args, image, number, y);
  if (args.states == 16) return scan_states<T, 16>(args, image, number, y);
  scan_states<T, 0>(args, image, number, y);
}

// The backward scan needs the decay a_t and the state h_t of every token, in reverse. They are recomputed for one chunk
// of tokens at a time from the state at its start, so that memory does not grow with length * states * channels and a
// chunk stays in the second-level cache.
template <typename T>
struct Chunks {
  static constexpr int64_t kBytes = 512 * 1024;
  int64_t tokens, count;

  explicit Chunks(const ScanArgs<T>& args) {
    const int64_t per_token = (4 * args.states + 2) * int64_t(sizeof(Vec<T>));
    const int64_t fit = kBytes / per_token;
    count = fit < 16 ? (args.length + 15) / 16 : (args.length + fit - 1) / fit;
    tokens = (args.length + count - 1) / count;
  }
};

// The scratch memory of scan_backward, divided up; all of (..., states) vectors.
template <typename T>
struct ScanScratch {
  Vec<T>* decay;      // (tokens of a chunk, states): a_t = exp(d_t A)
  Vec<T>* state;      // (tokens + 1, states): h before each token, and after the last
  Vec<T>* grad_B;     // (tokens, states): each lane the sum over its channels
  Vec<T>* grad_C;     // (tokens, states)
  Vec<T>* step;       // (tokens,)
  Vec<T>* slope;      // (tokens,)
  Vec<T>* carry;      // (blocks, states): a_(t+1) gam_(t+1), what later tokens hand down
  Vec<T>* grad_A;     // (blocks, states)
  Vec<T>* grad_D;     // (blocks,)
  Vec<T>* grad_bias;  // (blocks,)
  Vec<T>* start;      // (chunks, blocks, states): h before each chunk

  Vec<T>* memory;    // null to find out how much is needed
  int64_t used = 0;  // vectors

  ScanScratch(const ScanArgs<T>& args, const Chunks<T>& chunks, int64_t blocks, Vec<T>* scratch) : memory(scratch) {
    const int64_t chunk = chunks.tokens * args.states;
    decay = take(chunk);
    state = take(chunk + args.states);
    grad_B = take(chunk);
    grad_C = take(chunk);
    step = take(chunks.tokens);
    slope = take(chunks.tokens);
    carry = take(blocks * args.states);
    grad_A = take(blocks * args.states);
    grad_D = take(blocks);
    grad_bias = take(blocks);
    start = take(chunks.count * blocks * args.states);
  }

  Vec<T>* take(int64_t count) {
    const int64_t begin = used;
    used += count;
    return memory == nullptr ? nullptr : memory + begin;
  }
};

template <typename T>
int64_t scan_scratch(const ScanArgs<T>& args, int64_t blocks) {
  const ScanScratch<T> layout(args, Chunks<T>(args), blocks, nullptr);
  return layout.used * kLanes<T>;
}

template <typename T>
inline void clear(Vec<T>* to, int64_t count) {
  for (int64_t i = 0; i < count; ++i) to[i] = Vec<T>{};
}

// Runs the states of one block through the tokens first..last; h is changed in place.
template <typename T>
void advance(const ScanArgs<T>& args, const Block<T>& block, int64_t first, int64_t last, Vec<T>* h) {
  for_token_tiles(first, last, [&](int64_t begin, int64_t end) {
    Vec<T> d[kTile];
    block.steps(args, begin, end, d, nullptr);
    for (int64_t token = begin; token < end; ++token) {
      const T* B = args.B + token * args.row_B;
      const Vec<T> step = d[token - begin];
      const Vec<T> input = step * load(args.u + token * args.channels + block.channel, block.count);
      for (int64_t n = 0; n < args.states; ++n) h[n] = exp2<T>(step * block.A_log2e[n]) * h[n] + input * B[n];
    }
  });
}

// The same for one chunk, keeping every decay and state; scratch.state[0] holds the states before it.
template <typename T>
void record(const ScanArgs<T>& args, const Block<T>& block, int64_t begin, int64_t end, const ScanScratch<T>& scratch) {
  const int64_t states = args.states;
  block.steps(args, begin, end, scratch.step, scratch.slope);
  for (int64_t token = begin; token < end; ++token) {
    const int64_t t = token - begin;
    const T* B = args.B + token * args.row_B;
    const Vec<T> d = scratch.step[t];
    const Vec<T> input = d * load(args.u + token * args.channels + block.channel, block.count);
    const Vec<T>* before = scratch.state + t * states;
    Vec<T>* after = scratch.state + (t + 1) * states;
    Vec<T>* decay = scratch.decay + t * states;
    for (int64_t n = 0; n < states; ++n) {
      decay[n] = exp2<T>(d * block.A_log2e[n]);
      after[n] = decay[n] * before[n] + input * B[n];
    }
  }
}

// Gradients of the tokens begin..end of one block, from the last to the first. With e = dLoss/dy, the adjoint state is
// gam_t = e_t C_t + a_(t+1) gam_(t+1); everything else is a product of it with what `record` kept.
template <typename T>
void reverse(const ScanArgs<T>& args, const Block<T>& block, int64_t begin, int64_t end, const ScanScratch<T>& scratch,
             int64_t slot, const ScanGrads<T>& grads) {
  const int64_t states = args.states;
  Vec<T>* carry = scratch.carry + slot * states;
  Vec<T>* grad_A = scratch.grad_A + slot * states;
  for (int64_t token = end - 1; token >= begin; --token) {
    const int64_t t = token - begin, at = token * args.channels + block.channel;
    const T* B = args.B + token * args.row_B;
    const T* C = args.C + token * args.row_C;
    const Vec<T>* decay = scratch.decay + t * states;
    const Vec<T>* before = scratch.state + t * states;
    const Vec<T>* after = before + states;
    Vec<T>* grad_B = scratch.grad_B + t * states;
    Vec<T>* grad_C = scratch.grad_C + t * states;
    const Vec<T> e = load(args.grad_y + at, block.count), u = load(args.u + at, block.count);
    const Vec<T> d = scratch.step[t], input = d * u;
    Vec<T> through_input = {}, through_decay = {};  // sums over the states of gam B and of gam A a h_(t-1)
    for (int64_t n = 0; n < states; ++n) {
      const Vec<T> gam = e * C[n] + carry[n];
      carry[n] = decay[n] * gam;
      const Vec<T> kept = carry[n] * before[n];  // gam a h_(t-1)
      grad_C[n] += e * after[n];
      grad_B[n] += gam * input;
      grad_A[n] += kept * d;
      through_input += gam * B[n];
      through_decay += kept * block.A[n];
    }
    Vec<T> grad_u = d * through_input;
    const Vec<T> grad_delta = (u * through_input + through_decay) * scratch.slope[t];
    scratch.grad_bias[slot] += grad_delta;
    if (args.D != nullptr) {
      scratch.grad_D[slot] += e * load(args.skip + at, block.count);
      if (grads.skip == nullptr) grad_u += block.D * e;
    }
    if (grads.skip != nullptr) store(grads.skip + at, block.D * e, block.count);
    store(grads.u + at, grad_u, block.count);
    store(grads.delta + at, grad_delta, block.count);
  }
}

template <typename T>
void scan_backward(const ScanArgs<T>& args, int64_t image, int64_t first, int64_t last, T* memory,
                   const ScanGrads<T>& grads) {
  const int64_t states = args.states, blocks = last - first, origin = image * args.length;
  const Chunks<T> chunks(args);
  const ScanScratch<T> scratch(args, chunks, blocks, reinterpret_cast<Vec<T>*>(memory));
  clear<T>(scratch.carry, blocks * states);
  clear<T>(scratch.grad_A, blocks * states);
  clear<T>(scratch.grad_D, blocks);
  clear<T>(scratch.grad_bias, blocks);
  clear<T>(scratch.start, blocks * states);
  for (int64_t chunk = 1; chunk < chunks.count; ++chunk) {
    for (int64_t slot = 0; slot < blocks; ++slot) {
      Vec<T>* h = scratch.start + (chunk * blocks + slot) * states;
      for (int64_t n = 0; n < states; ++n) h[n] = h[n - blocks * states];
      const int64_t begin = origin + (chunk - 1) * chunks.tokens;
      advance(args, Block<T>(args, first + slot), begin, begin + chunks.tokens, h);
    }
  }

  for (int64_t chunk = chunks.count - 1; chunk >= 0; --chunk) {
    const int64_t begin = chunk * chunks.tokens;
    const int64_t end = begin + chunks.tokens < args.length ? begin + chunks.tokens : args.length;
    clear<T>(scratch.grad_B, (end - begin) * states);
    clear<T>(scratch.grad_C, (end - begin) * states);
    for (int64_t slot = 0; slot < blocks; ++slot) {
      const Block<T> block(args, first + slot);
      const Vec<T>* h = scratch.start + (chunk * blocks + slot) * states;
      for (int64_t n = 0; n < states; ++n) scratch.state[n] = h[n];
      record(args, block, origin + begin, origin + end, scratch);
      reverse(args, block, origin + begin, origin + end, scratch, slot, grads);
    }
    for (int64_t i = 0; i < (end - begin) * states; ++i) {
      grads.B[begin * states + i] = sum<T>(scratch.grad_B[i]);
      grads.C[begin * states + i] = sum<T>(scratch.grad_C[i]);
    }
  }

  for (int64_t slot = 0; slot < blocks; ++slot) {
    const Block<T> block(args, first + slot);
    const int64_t at = image * args.channels + block.channel;
    for (int64_t n = 0; n < states; ++n)
      for (int64_t i = 0; i < block.count; ++i) grads.A[(at + i) * states + n] = scratch.grad_A[slot * states + n][i];
    store(grads.D + at, scratch.grad_D[slot], block.count);
    store(grads.bias + at, scratch.grad_bias[slot], block.count);
  }
}

}  // namespace
