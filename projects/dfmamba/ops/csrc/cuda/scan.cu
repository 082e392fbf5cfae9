// Forward scan of a given u.

#include "scan_forward.cuh"

namespace dfmamba::cuda {

int scan(DType dtype, const ScanSizes& sizes, const ScanInputs& inputs, void* y, Stream stream) {
  return dispatch_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    return dispatch_split<T>(sizes.states, [&](auto split) {
      constexpr int kSplit = decltype(split)::value;
      const int64_t blocks = sizes.batch * divide_up(sizes.channels, kSlice);
      return launch(scan_forward_kernel<T, kSplit, false>, blocks, (kSplit + kProducers) * kWarp,
                    Layout<T, kSplit>::bytes(), stream, make_scan_arguments<T>(sizes, inputs), GatherArguments<T>{},
                    static_cast<T*>(y));
    });
  });
}

}  // namespace dfmamba::cuda
