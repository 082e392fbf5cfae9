// The kernels for processors with AVX2; chosen at run time.
#if defined(__x86_64__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif

#define VECTOR_BYTES 32
#define KERNEL_SET avx2_kernels
#define KERNEL_NAME "avx2"
#include "kernel_set.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif

#endif
