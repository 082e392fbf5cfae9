// Defines one build of all kernels, KERNEL_SET; the including file has set its name, VECTOR_BYTES and the target.
#pragma once

#include "attention_kernels.h"
#include "sample_kernels.h"
#include "scan_kernels.h"

namespace {

template <typename T>
constexpr dfmamba::Kernels<T> kernels() {
  return {kLanes<T>, gather<T>, gather_grad<T>, scatter<T>, scan<T>, scan_scratch<T>, scan_backward<T>,
          attend<T>, attend_backward<T>};
}

}  // namespace

const dfmamba::KernelSet dfmamba::KERNEL_SET = {KERNEL_NAME, kernels<float>(), kernels<double>()};
