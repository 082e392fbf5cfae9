// Ground that all kernels stand on: number types, loads and stores, warp sums, launches.
//
// With DFMAMBA_EMULATE the same sources are compiled by an ordinary C++ compiler and run on the CPU, thread by thread
// (tests/ops/cuda_emulation): so nothing here may use a CUDA feature that emulate.h does not know.

#pragma once

#include <cstdint>
#include <type_traits>

#ifdef DFMAMBA_EMULATE
#include "emulate.h"
#else
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#endif

#include "launch.h"

namespace dfmamba::cuda {

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;
constexpr double kLog2E = 1.4426950408889634;
constexpr double kLn2 = 0.6931471805599453;

template <typename T>
struct WorkType {
  using type = float;
};

template <>
struct WorkType<double> {
  using type = double;
};

template <typename T>
using Work = typename WorkType<T>::type;

__device__ __forceinline__ float to_work(float value) { return value; }
__device__ __forceinline__ double to_work(double value) { return value; }
__device__ __forceinline__ float to_work(__half value) { return __half2float(value); }
__device__ __forceinline__ float to_work(__nv_bfloat16 value) { return __bfloat162float(value); }

__device__ __forceinline__ void put(float& place, float value) { place = value; }
__device__ __forceinline__ void put(double& place, double value) { place = value; }
__device__ __forceinline__ void put(__half& place, float value) { place = __float2half_rn(value); }
__device__ __forceinline__ void put(__nv_bfloat16& place, float value) { place = __float2bfloat16_rn(value); }

template <typename T>
__device__ __forceinline__ Work<T> load(const Array& array, int64_t index) {
  if (std::is_same_v<T, Work<T>> || array.wide) return static_cast<const Work<T>*>(array.data)[index];
  return to_work(static_cast<const T*>(array.data)[index]);
}

template <typename T>
__device__ __forceinline__ void store(const MutableArray& array, int64_t index, Work<T> value) {
  if (std::is_same_v<T, Work<T>> || array.wide) {
    static_cast<Work<T>*>(array.data)[index] = value;
  } else {
    put(static_cast<T*>(array.data)[index], value);
  }
}

// V neighbours moved as one access; the address must be a multiple of its size.
template <typename T, int V>
struct alignas(sizeof(T) * V) Pack {
  T values[V];
};

template <int V, typename T>
__device__ __forceinline__ Pack<T, V> load_pack(const T* address) {
#ifdef DFMAMBA_EMULATE
  emulate::check_alignment(address, sizeof(Pack<T, V>));
#endif
  return *reinterpret_cast<const Pack<T, V>*>(address);
}

template <int V, typename T>
__device__ __forceinline__ void store_pack(T* address, const Pack<T, V>& pack) {
#ifdef DFMAMBA_EMULATE
  emulate::check_alignment(address, sizeof(Pack<T, V>));
#endif
  *reinterpret_cast<Pack<T, V>*>(address) = pack;
}

// 2^x; results under the smallest normal number become 0, which is right for a decay.
__device__ __forceinline__ float exp_2(float x) {
#ifdef __CUDA_ARCH__
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
#else
  return exp2f(x);
#endif
}

__device__ __forceinline__ double exp_2(double x) { return exp2(x); }

__device__ __forceinline__ double softplus(double x) { return x > 20 ? x : log1p(exp(x)); }

// max(x, 0) + log1p(t) with t = e^-|x|. log1p(t) / t is a polynomial of degree 7 on [0, 1] with the least greatest
// relative error: 1.9e-7, with coefficients in float32 2.3e-7, all in float32 3.5e-7 (tests/ops/test_softplus_fit.py).
__device__ __forceinline__ float softplus(float x) {
  const float t = exp_2(fabsf(x) * static_cast<float>(-kLog2E));
  float ratio = -0.00853920821f;
  ratio = ratio * t + 0.044089634f;
  ratio = ratio * t - 0.107681714f;
  ratio = ratio * t + 0.177452415f;
  ratio = ratio * t - 0.244954631f;
  ratio = ratio * t + 0.332754791f;
  ratio = ratio * t - 0.499974042f;
  ratio = ratio * t + 0.999999821f;
  return fmaxf(x, 0.0f) + ratio * t;  // fmaxf drops NaN, t does not
}

// The next integer below; any integer where none is near enough.
__device__ __forceinline__ int floor_to_int(float x) { return __float2int_rd(x); }
__device__ __forceinline__ int floor_to_int(double x) { return __double2int_rd(x); }

// Add up V values, each over the WIDTH lanes whose numbers differ in the bits STRIDE, 2 STRIDE ... WIDTH/2 * STRIDE.
// At each step a lane gives half of its values away and keeps the other half, so that the sums end up spread over the
// lanes: afterwards values[0 .. max(1, V/WIDTH)) hold the sums number `result`, `result` + 1, ... Where WIDTH > V
// several lanes hold the same one. V and WIDTH are powers of two.
template <int V, int WIDTH, int STRIDE, typename S>
__device__ __forceinline__ int reduce_scatter(S (&values)[V], int lane) {
  int first = 0, count = V;
#pragma unroll
  for (int step = WIDTH / 2; step > 0; step /= 2) {
    const int bit = step * STRIDE;
    if (count == 1) {
      values[0] += __shfl_xor_sync(kAllLanes, values[0], bit);
      continue;
    }
    count /= 2;
    const bool upper = (lane & bit) != 0;
#pragma unroll
    for (int i = 0; i < V / 2; ++i) {
      if (i >= count) break;
      const S kept = upper ? values[i + count] : values[i];
      const S given = upper ? values[i] : values[i + count];
      values[i] = kept + __shfl_xor_sync(kAllLanes, given, bit);
    }
    first += upper ? count : 0;
  }
  return first;
}

// Of the lanes that hold the same sum after reduce_scatter, true for one.
template <int V, int WIDTH, int STRIDE>
__device__ __forceinline__ bool is_first_holder(int lane) {
  return WIDTH <= V || (lane / STRIDE) % (WIDTH > V ? WIDTH / V : 1) == 0;
}

#ifdef DFMAMBA_EMULATE
inline unsigned char* shared_memory() { return emulate::shared_memory(); }
#else
__device__ __forceinline__ unsigned char* shared_memory() {
  extern __shared__ __align__(128) unsigned char dfmamba_shared_memory[];
  return dfmamba_shared_memory;
}
#endif

inline int64_t divide_up(int64_t count, int64_t by) { return (count + by - 1) / by; }

constexpr size_t kPlainSharedBytes = 48 * 1024;  // more must be asked for

// Takes an error along. It must not stay pending: the next kernel that torch launches would report it.
inline int taken(cudaError_t error) {
  if (error != cudaSuccess) cudaGetLastError();
  return static_cast<int>(error);
}

// What the current device has. A block may ask for `shared_block` bytes; on a multiprocessor, all blocks together have
// `shared_multiprocessor`, of which each takes `shared_reserved` more than it asks for.
struct Device {
  int shared_block, shared_multiprocessor, shared_reserved, multiprocessors;
};

inline int get_device(Device* found) {
  int device = 0;
  const auto ask = [&](int& value, auto attribute) { return taken(cudaDeviceGetAttribute(&value, attribute, device)); };
  if (const int error = taken(cudaGetDevice(&device))) return error;
  if (const int error = ask(found->shared_block, cudaDevAttrMaxSharedMemoryPerBlockOptin)) return error;
  if (const int error = ask(found->shared_multiprocessor, cudaDevAttrMaxSharedMemoryPerMultiprocessor)) return error;
  if (const int error = ask(found->shared_reserved, cudaDevAttrReservedSharedMemoryPerBlock)) return error;
  return ask(found->multiprocessors, cudaDevAttrMultiProcessorCount);
}

// Lets a kernel have as much shared memory as there is. Always the same amount: another thread may be between this and
// its own launch, and must not find less than it has asked for.
inline int allow_shared_memory(const void* kernel) {
  Device device{};
  if (const int error = get_device(&device)) return error;
  return taken(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, device.shared_block));
}

template <typename... Parameters, typename... Arguments>
int launch(void (*kernel)(Parameters...), int64_t blocks, int threads, size_t shared_bytes, Stream stream,
           const Arguments&... arguments) {
  if (blocks == 0) return 0;
  if (blocks > INT32_MAX) return static_cast<int>(cudaErrorInvalidConfiguration);
  const auto* address = reinterpret_cast<const void*>(kernel);
  if (shared_bytes > kPlainSharedBytes) {
    if (const int error = allow_shared_memory(address)) return error;
  }
#ifdef DFMAMBA_EMULATE
  (void)stream;
  return emulate::run(address, blocks, threads, shared_bytes, [&] { kernel(arguments...); });
#else
  kernel<<<static_cast<unsigned>(blocks), threads, shared_bytes, stream>>>(arguments...);
  return static_cast<int>(cudaGetLastError());
#endif
}

template <typename T>
struct Tag {
  using type = T;
};

// Call function(Tag<T>{}) for the C++ type of dtype.
template <typename Function>
auto dispatch_dtype(DType dtype, Function function) {
  switch (dtype) {
    case DType::float64: return function(Tag<double>{});
    case DType::float16: return function(Tag<__half>{});
    case DType::bfloat16: return function(Tag<__nv_bfloat16>{});
    default: return function(Tag<float>{});
  }
}

}  // namespace dfmamba::cuda
