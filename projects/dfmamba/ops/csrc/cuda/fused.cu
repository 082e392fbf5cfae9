// Sampling and forward scan in one kernel, where a slice of 32 channels of x fits in shared memory, twice if there are
// enough blocks: a block alone on a multiprocessor leaves it idle at every barrier.

#include "scan_forward.cuh"

namespace dfmamba::cuda {
namespace {

bool has_room(const ScanSizes& sizes, size_t bytes) {
  Device device{};
  if (get_device(&device) != 0 || bytes > static_cast<size_t>(device.shared_block)) return false;
  const int64_t blocks = sizes.batch * divide_up(sizes.channels, kSlice);
  const int64_t room = device.shared_multiprocessor / static_cast<int64_t>(bytes + device.shared_reserved);
  return room >= 2 || blocks <= device.multiprocessors;
}

}  // namespace

bool dssm_fits(DType dtype, const SampleSizes& map, const ScanSizes& sizes, const void* x) {
  const int64_t group_channels = map.channels / map.groups;
  if (group_channels == 0 || group_channels % kSlice != 0) return false;  // a slice must lie in one group
  if (reinterpret_cast<uintptr_t>(x) % 16 != 0) return false;
  const int64_t most = 1 << 20;  // keeps the products below from overflowing
  if (sizes.length > most || map.anchors > most) return false;
  const size_t bytes = dispatch_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    return dispatch_split<T>(sizes.states, [&](auto split) {
      return Layout<T, decltype(split)::value, false>::bytes(map.anchors, sizes.length);
    });
  });
  return has_room(sizes, bytes);
}

int dssm(DType dtype, const SampleSizes& map, const ScanSizes& sizes, const void* offset, Array weight,
         const ScanInputs& inputs, void* y, Stream stream) {
  return dispatch_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    return dispatch_split<T>(sizes.states, [&](auto split) {
      constexpr int kSplit = decltype(split)::value;
      // ceil(2^31 / width): exact as long as length * width < 2^31, and a slice of that many tokens fits nowhere.
      const auto reciprocal = static_cast<unsigned>(divide_up(int64_t{1} << 31, map.width));
      const GatherArguments<T> gather{make_map(map), static_cast<int>(map.groups), reciprocal,
                                      static_cast<const Work<T>*>(offset), weight};
      const auto run = [&](auto fast) {
        constexpr bool kFast = decltype(fast)::value;
        const int64_t blocks = sizes.batch * divide_up(sizes.channels, kSlice);
        return launch(scan_forward_kernel<T, kSplit, true, kFast>, blocks, (kSplit + kProducers) * kWarp,
                      Layout<T, kSplit, kFast>::bytes(map.anchors, sizes.length), stream,
                      make_scan_arguments<T>(sizes, inputs), gather, static_cast<T*>(y));
      };
      if constexpr (!std::is_same_v<T, double>) {
        const bool nine = map.axes == 2 && map.anchors == kFastAnchors && reinterpret_cast<uintptr_t>(offset) % 8 == 0;
        if (nine && is_fast<kSplit>(sizes, inputs, y) &&
            has_room(sizes, Layout<T, kSplit, true>::bytes(kFastAnchors, sizes.length))) {
          return run(std::true_type{});
        }
      }
      return run(std::false_type{});
    });
  });
}

}  // namespace dfmamba::cuda
