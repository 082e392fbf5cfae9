// Forward scan of a given u.

#include "scan_forward.cuh"

namespace dfmamba::cuda {

int scan(DType dtype, const ScanSizes& sizes, const ScanInputs& inputs, void* y, Stream stream) {
  return dispatch_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    return dispatch_split<T>(sizes.states, [&](auto split) {
      constexpr int kSplit = decltype(split)::value;
      const auto run = [&](auto fast) {
        constexpr bool kFast = decltype(fast)::value;
        const int64_t blocks = sizes.batch * divide_up(sizes.channels, kSlice);
        return launch(scan_forward_kernel<T, kSplit, false, kFast>, blocks, (kSplit + kProducers) * kWarp,
                      Layout<T, kSplit, kFast>::bytes(), stream, make_scan_arguments<T>(sizes, inputs),
                      GatherArguments<T>{}, static_cast<T*>(y));
      };
      if constexpr (!std::is_same_v<T, double>) {
        if (is_fast<kSplit>(sizes, inputs, y)) return run(std::true_type{});
      }
      return run(std::false_type{});
    });
  });
}

}  // namespace dfmamba::cuda
