// What the CPU implementations of all operators share: the kernels for this processor, threads, arguments.
#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <string>

#include "kernels.h"

namespace dfmamba {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

// --- The build for this processor -----------------------------------------------------------------------------------

inline const KernelSet* supported(const std::string& name) {
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq");
  if (name == "avx512") return avx512 ? &avx512_kernels : nullptr;
  if (name == "avx2") return avx2 ? &avx2_kernels : nullptr;
#endif
  return name == "portable" ? &portable_kernels : nullptr;
}

inline const KernelSet* choose() {
  if (const char* wanted = std::getenv("DFMAMBA_CPU_CAPABILITY")) {
    const KernelSet* set = supported(wanted);
    TORCH_CHECK(set != nullptr, "DFMAMBA_CPU_CAPABILITY: expected portable, avx2 or avx512 as far as this processor "
                "has them, got ", wanted);
    return set;
  }
  for (const char* name : {"avx512", "avx2"})
    if (const KernelSet* set = supported(name)) return set;
  return &portable_kernels;
}

inline const KernelSet& kernel_set() {
  static const KernelSet* const chosen = choose();
  return *chosen;
}

template <typename T>
const Kernels<T>& kernels();
template <>
inline const Kernels<float>& kernels<float>() { return kernel_set().single; }
template <>
inline const Kernels<double>& kernels<double>() { return kernel_set().twice; }

inline std::string cpu_capability() { return kernel_set().name; }

// --- Threads --------------------------------------------------------------------------------------------------------

// Work that a thread is woken for. The costs below are nanoseconds of a core with AVX2, roughly.
constexpr double kThreadNs = 1e5;

template <typename Work>
void run_parallel(int64_t items, double item_ns, const Work& work) {
  at::parallel_for(0, items, std::max<int64_t>(1, std::llround(kThreadNs / std::max(item_ns, 1.0))), work);
}

inline int64_t threads_for(double total_ns) {
  return std::clamp<int64_t>(static_cast<int64_t>(total_ns / kThreadNs), 1, at::get_num_threads());
}

// --- Arguments ------------------------------------------------------------------------------------------------------

inline at::ScalarType work_type(const Tensor& x) { return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat; }

inline void check_dtype(const char* name, const Tensor& tensor, at::ScalarType io, at::ScalarType work) {
  const auto dtype = tensor.scalar_type();
  TORCH_CHECK(dtype == io || dtype == work, name, ": expected dtype ", io, " or ", work, ", got ", dtype);
}

inline void check_shape(const char* name, const Tensor& tensor, at::IntArrayRef shape) {
  TORCH_CHECK(tensor.sizes() == shape, name, ": expected shape ", shape, ", got ", tensor.sizes());
  TORCH_CHECK(tensor.is_cpu(), name, ": expected a tensor on the CPU, got one on ", tensor.device());
}

// The tensor as contiguous numbers of the dtype that is computed in; no copy if it is that already.
inline Tensor prepared(const Tensor& tensor, at::ScalarType dtype) { return tensor.to(dtype).contiguous(); }

inline OptionalTensor prepared(const OptionalTensor& tensor, at::ScalarType dtype) {
  return tensor.has_value() ? OptionalTensor(prepared(*tensor, dtype)) : std::nullopt;
}

template <typename T>
const T* data(const OptionalTensor& tensor) {
  return tensor.has_value() ? tensor->const_data_ptr<T>() : nullptr;
}

// Calls `function` with a number of the type that goes with `dtype`.
template <typename Function>
auto for_type(at::ScalarType dtype, const Function& function) {
  return dtype == at::kDouble ? function(double()) : function(float());
}

}  // namespace dfmamba
