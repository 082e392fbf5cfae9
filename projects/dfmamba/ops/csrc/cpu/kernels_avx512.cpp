// The kernels for processors with AVX-512; chosen at run time.
#if defined(__x86_64__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq,avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512dq,avx2,fma")
#endif

#define VECTOR_BYTES 64
#define KERNEL_SET avx512_kernels
#define KERNEL_NAME "avx512"
#include "kernel_set.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif

#endif
