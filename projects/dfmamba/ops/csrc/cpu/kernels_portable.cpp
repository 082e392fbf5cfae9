// The kernels for any machine: vectors of 16 bytes (SSE2, NEON).

#define VECTOR_BYTES 16
#define KERNEL_SET portable_kernels
#define KERNEL_NAME "portable"
#include "kernel_set.h"
