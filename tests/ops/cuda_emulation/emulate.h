// The part of CUDA that the kernels use, run on the CPU: to check their logic where there is no GPU.
//
// Every thread of a block is a fiber. Fibers run one at a time, each until its next barrier or shuffle, in an order that
// the test chooses: results that depend on the order show a missing barrier. In two of the orders each warp runs as far
// ahead of the others as block-wide barriers let it. Shared memory starts as NaN with guarded margins, lanes of a warp
// must reach the same warp-wide operation together, and all threads each block-wide barrier.

#pragma once

#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <map>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

using std::max;
using std::min;

using cudaError_t = int;
constexpr int cudaSuccess = 0, cudaErrorInvalidValue = 1, cudaErrorInvalidConfiguration = 9;
constexpr int cudaDevAttrMaxSharedMemoryPerBlockOptin = 97, cudaDevAttrMaxSharedMemoryPerMultiprocessor = 81,
              cudaDevAttrReservedSharedMemoryPerBlock = 111, cudaDevAttrMultiProcessorCount = 16;
constexpr int cudaFuncAttributeMaxDynamicSharedMemorySize = 8;

namespace emulate {

constexpr int kWarp = 32;
constexpr size_t kStackBytes = 128 * 1024, kMargin = 256;
constexpr int kFailed = 999;
constexpr size_t kPlainShared = 48 * 1024;

enum class Wait { none, block, warp_sync, shuffle, ballot, match, finished };

struct Fiber {
  ucontext_t context;
  std::vector<char> stack = std::vector<char>(kStackBytes);
  Wait wait = Wait::none;
  int exchanges = 0;  // shuffles so far: successive ones use different slots
};

struct Machine {
  int order = 0;  // 0 first warp first, 1 last warp first, 2 all warps by turns, at random
  int shared_limit = 227 * 1024;  // of a block, what sm_90 has
  int multiprocessors = 132;
  std::map<const void*, size_t> allowed;  // shared memory that a kernel may ask for
  bool attributes_fail = false;
  int pending = 0;  // the error that cudaGetLastError returns
  std::string failure;
  std::vector<Fiber> fibers;
  std::vector<uint64_t> slots;  // (2, threads)
  std::vector<unsigned char> shared;
  size_t shared_bytes = 0;
  ucontext_t scheduler;
  int current = 0;
  uint64_t block = 0;
  std::function<void()> body;

  void fail(const std::string& what) {
    if (failure.empty()) failure = what + " (block " + std::to_string(block) + ", thread " + std::to_string(current) + ")";
    swapcontext(&fibers[current].context, &scheduler);
  }

  void pause(Wait why) {
    fibers[current].wait = why;
    swapcontext(&fibers[current].context, &scheduler);
  }
};

inline Machine machine;

inline unsigned char* shared_base() {
  const auto start = reinterpret_cast<uintptr_t>(machine.shared.data()) + kMargin;
  return reinterpret_cast<unsigned char*>((start + 127) / 128 * 128);
}

inline unsigned char* shared_memory() { return shared_base(); }

inline void check_alignment(const void* address, size_t bytes) {
  // 16 bytes is the widest access there is; wider packs are split.
  if (reinterpret_cast<uintptr_t>(address) % std::min<size_t>(bytes, 16) != 0) machine.fail("misaligned access");
}

inline void enter() {
  machine.body();
  machine.fibers[machine.current].wait = Wait::finished;
  swapcontext(&machine.fibers[machine.current].context, &machine.scheduler);
}

inline void start_block(int threads) {
  std::fill(machine.shared.begin(), machine.shared.end(), 0xff);  // NaN in every type
  for (int i = 0; i < threads; ++i) {
    Fiber& fiber = machine.fibers[i];
    fiber.wait = Wait::none;
    fiber.exchanges = 0;
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.data();
    fiber.context.uc_stack.ss_size = fiber.stack.size();
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, enter, 0);
  }
}

// Let the lanes of a warp go on if all of them wait for each other.
inline bool release_warp(int warp) {
  const auto begin = machine.fibers.begin() + warp;
  const Wait wait = begin->wait;
  if (wait == Wait::none || wait == Wait::block || wait == Wait::finished) return false;
  if (!std::all_of(begin, begin + kWarp, [&](const Fiber& fiber) { return fiber.wait == wait; })) return false;
  for (auto it = begin; it != begin + kWarp; ++it) it->wait = Wait::none;
  return true;
}

inline bool release_block(int threads) {
  const auto begin = machine.fibers.begin(), end = begin + threads;
  if (!std::all_of(begin, end, [](const Fiber& fiber) { return fiber.wait == Wait::block; })) return false;
  for (auto it = begin; it != end; ++it) it->wait = Wait::none;
  return true;
}

// Run the lanes of a warp that can; true if there was one.
inline bool run_warp(int warp, std::vector<int>& lanes, std::mt19937& random) {
  if (machine.order == 2) std::shuffle(lanes.begin(), lanes.end(), random);
  bool ran = false;
  for (const int lane : lanes) {
    if (machine.fibers[warp + lane].wait != Wait::none) continue;
    machine.current = warp + lane;
    swapcontext(&machine.scheduler, &machine.fibers[warp + lane].context);
    if (!machine.failure.empty()) return false;
    ran = true;
  }
  return ran;
}

inline void run_block(int threads, std::mt19937& random) {
  start_block(threads);
  std::vector<int> warps, lanes(kWarp);
  for (int warp = 0; warp < threads; warp += kWarp) warps.push_back(warp);
  std::iota(lanes.begin(), lanes.end(), 0);
  if (machine.order == 1) {
    std::reverse(warps.begin(), warps.end());
    std::reverse(lanes.begin(), lanes.end());
  }
  const auto finished = [](const Fiber& fiber) { return fiber.wait == Wait::finished; };
  const auto begin = machine.fibers.begin();
  while (machine.failure.empty() && !std::all_of(begin, begin + threads, finished)) {
    if (machine.order == 2) std::shuffle(warps.begin(), warps.end(), random);
    bool moved = false;
    for (const int warp : warps) {
      bool ahead = run_warp(warp, lanes, random) | release_warp(warp);
      moved = moved || ahead;
      while (ahead && machine.order != 2 && machine.failure.empty()) {
        ahead = run_warp(warp, lanes, random) | release_warp(warp);
      }
    }
    moved = release_block(threads) || moved;
    if (!moved && machine.failure.empty()) {
      machine.failure = "threads of block " + std::to_string(machine.block) + " wait at different barriers";
    }
  }
  const unsigned char *end = shared_base() + machine.shared_bytes, *past = machine.shared.data() + machine.shared.size();
  const auto untouched = [](unsigned char byte) { return byte == 0xff; };
  const unsigned char* start = machine.shared.data();
  if (!std::all_of(start, static_cast<const unsigned char*>(shared_base()), untouched) ||
      !std::all_of(end, past, untouched)) {
    machine.failure = "write outside of shared memory in block " + std::to_string(machine.block);
  }
}

inline int run(const void* kernel, int64_t blocks, int threads, size_t shared_bytes, std::function<void()> body) {
  const auto known = machine.allowed.find(kernel);
  const size_t allowed = known == machine.allowed.end() ? kPlainShared : std::max(known->second, kPlainShared);
  if (threads > 1024 || threads % kWarp != 0 || shared_bytes > allowed) return cudaErrorInvalidConfiguration;
  machine.failure.clear();
  machine.body = std::move(body);
  if (machine.fibers.size() < static_cast<size_t>(threads)) machine.fibers.resize(threads);
  machine.slots.assign(2 * threads, 0);
  machine.shared_bytes = shared_bytes;
  machine.shared.resize(shared_bytes + 2 * kMargin + 128);
  std::mt19937 random(7);
  for (int64_t i = 0; i < blocks && machine.failure.empty(); ++i) {
    machine.block = machine.order == 1 ? blocks - 1 - i : i;
    run_block(threads, random);
  }
  return machine.failure.empty() ? 0 : kFailed;
}

struct ThreadIndex {
  struct X {
    operator unsigned() const { return machine.current; }
  } x;
};

struct BlockIndex {
  struct X {
    operator unsigned() const { return static_cast<unsigned>(machine.block); }
  } x;
};

// Hand a value to the lane that asks for it; all lanes of the warp take part.
template <typename T>
T exchange(T value, int source, Wait kind) {
  static_assert(sizeof(T) <= sizeof(uint64_t));
  const int thread = machine.current, threads = static_cast<int>(machine.slots.size() / 2);
  const int parity = machine.fibers[thread].exchanges++ % 2;
  std::memcpy(&machine.slots[parity * threads + thread], &value, sizeof(T));
  machine.pause(kind);
  std::memcpy(&value, &machine.slots[parity * threads + thread / kWarp * kWarp + source], sizeof(T));
  return value;
}

}  // namespace emulate

inline emulate::ThreadIndex threadIdx;
inline emulate::BlockIndex blockIdx;

inline void __syncthreads() { emulate::machine.pause(emulate::Wait::block); }
inline void __syncwarp() { emulate::machine.pause(emulate::Wait::warp_sync); }

template <typename T>
T __shfl_sync(unsigned, T value, int source) {
  return emulate::exchange(value, source, emulate::Wait::shuffle);
}

template <typename T>
T __shfl_xor_sync(unsigned, T value, int bits) {
  return emulate::exchange(value, (emulate::machine.current % emulate::kWarp) ^ bits, emulate::Wait::shuffle);
}

inline unsigned __ballot_sync(unsigned, bool vote) {
  using namespace emulate;
  const int thread = machine.current, threads = static_cast<int>(machine.slots.size() / 2);
  const int parity = machine.fibers[thread].exchanges % 2;
  exchange<uint64_t>(vote, 0, Wait::ballot);
  unsigned all = 0;
  for (int i = 0; i < kWarp; ++i) {
    all |= static_cast<unsigned>(machine.slots[parity * threads + thread / kWarp * kWarp + i]) << i;
  }
  return all;
}

// Which lanes have the same value.
inline unsigned __match_any_sync(unsigned, int value) {
  using namespace emulate;
  const int thread = machine.current, threads = static_cast<int>(machine.slots.size() / 2);
  const int parity = machine.fibers[thread].exchanges % 2;
  exchange(value, 0, Wait::match);
  unsigned same = 0;
  for (int i = 0; i < kWarp; ++i) {
    int other = 0;
    std::memcpy(&other, &machine.slots[parity * threads + thread / kWarp * kWarp + i], sizeof(int));
    same |= static_cast<unsigned>(other == value) << i;
  }
  return same;
}

inline int __popc(unsigned bits) { return __builtin_popcount(bits); }

inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<unsigned>(uint64_t{a} * b >> 32); }

inline int __double2int_rd(double value) {  // saturates; NaN becomes the least integer in float64, 0 in float32
  if (std::isnan(value)) return INT32_MIN;
  return static_cast<int>(std::floor(std::min(std::max(value, -2147483648.0), 2147483647.0)));
}

inline int __float2int_rd(float value) { return std::isnan(value) ? 0 : __double2int_rd(value); }

inline int __ffs(int bits) { return __builtin_ffs(bits); }

inline int cudaGetDevice(int* device) { return *device = 0; }
inline int cudaDeviceGetAttribute(int* value, int attribute, int) {
  constexpr int kReserved = 1024;
  switch (attribute) {
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = emulate::machine.shared_limit; return 0;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor: *value = emulate::machine.shared_limit + kReserved; return 0;
    case cudaDevAttrReservedSharedMemoryPerBlock: *value = kReserved; return 0;
    case cudaDevAttrMultiProcessorCount: *value = emulate::machine.multiprocessors; return 0;
    default: return cudaErrorInvalidValue;
  }
}

inline int cudaFuncSetAttribute(const void* kernel, int, int bytes) {
  auto& machine = emulate::machine;
  if (machine.attributes_fail || bytes > machine.shared_limit) return machine.pending = cudaErrorInvalidValue;
  machine.allowed[kernel] = static_cast<size_t>(bytes);
  return 0;
}

inline int cudaGetLastError() {
  const int error = emulate::machine.pending;
  emulate::machine.pending = 0;
  return error;
}

struct __half {
  _Float16 value;
};

struct __nv_bfloat16 {
  uint16_t bits;
};

inline float __half2float(__half half) { return static_cast<float>(half.value); }
inline __half __float2half_rn(float value) { return {static_cast<_Float16>(value)}; }

inline float __bfloat162float(__nv_bfloat16 number) {
  const uint32_t bits = static_cast<uint32_t>(number.bits) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

inline __nv_bfloat16 __float2bfloat16_rn(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  if (std::isnan(value)) return {0x7fff};
  bits += 0x7fff + (bits >> 16 & 1);  // to nearest, ties to even
  return {static_cast<uint16_t>(bits >> 16)};
}
