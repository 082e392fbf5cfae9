// The CPU implementation of deformable attention: checks, memory, threads. The arithmetic is in attention_kernels.h.

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <tuple>
#include <vector>

#include "host.h"

namespace dfmamba {
namespace {

void check_attention(const Tensor& value, const Tensor& locations, const Tensor& weights, at::IntArrayRef sizes) {
  TORCH_CHECK(value.dim() == 4, "value: expected 4 axes (batch, pixels, heads, channels), got shape ", value.sizes());
  TORCH_CHECK(value.is_floating_point(), "value: expected floating-point numbers, got ", value.scalar_type());
  TORCH_CHECK(!sizes.empty() && sizes.size() % 2 == 0, "sizes: expected height and width of each level, got ", sizes);
  int64_t pixels = 0;
  for (size_t i = 0; i < sizes.size(); i += 2) {
    TORCH_CHECK(sizes[i] >= 1 && sizes[i + 1] >= 1, "sizes: expected positive integers, got ", sizes);
    pixels += sizes[i] * sizes[i + 1];
  }
  TORCH_CHECK(pixels == value.size(1), "sizes: expected as many pixels as value has, ", value.size(1), ", got ", sizes,
              " with ", pixels);
  TORCH_CHECK(weights.dim() == 5, "weights: expected 5 axes (batch, queries, heads, levels, points), got shape ",
              weights.sizes());
  const int64_t batch = value.size(0), queries = weights.size(1), heads = value.size(2), points = weights.size(4);
  const int64_t levels = static_cast<int64_t>(sizes.size() / 2);
  check_shape("value", value, value.sizes());
  check_shape("weights", weights, {batch, queries, heads, levels, points});
  check_shape("locations", locations, {batch, queries, heads, levels, points, 2});
  check_dtype("locations", locations, work_type(value), work_type(value));
  check_dtype("weights", weights, value.scalar_type(), work_type(value));
}

template <typename T>
AttentionArgs<T> attention_args(const Tensor& value, const Tensor& locations, const Tensor& weights,
                                const OptionalTensor& grad_output, at::IntArrayRef sizes) {
  AttentionArgs<T> args{};
  args.value = value.const_data_ptr<T>();
  args.pixel_stride = value.stride(1), args.head_stride = value.stride(2);
  args.locations = locations.const_data_ptr<T>();
  args.weights = weights.const_data_ptr<T>();
  args.grad_output = data<T>(grad_output);
  args.sizes = sizes.data();
  args.batch = value.size(0), args.pixels = value.size(1), args.heads = value.size(2), args.channels = value.size(3);
  args.queries = weights.size(1), args.levels = weights.size(3), args.points = weights.size(4);
  return args;
}

template <typename T>
double attention_ns(const AttentionArgs<T>& args) {  // of one query and head
  return static_cast<double>(args.levels * args.points) * (10.0 + 0.1 * args.channels);
}

Tensor deformable_attention(const Tensor& value, const Tensor& locations, const Tensor& weights,
                            at::IntArrayRef sizes) {
  check_attention(value, locations, weights, sizes);
  const auto work = work_type(value);
  const Tensor value_ = prepared(value, work), locations_ = prepared(locations, work);
  const Tensor weights_ = prepared(weights, work);
  return for_type(work, [&](auto zero) {
    using T = decltype(zero);
    const auto args = attention_args<T>(value_, locations_, weights_, std::nullopt, sizes);
    Tensor output = at::empty({args.batch, args.queries, args.heads * args.channels}, value_.options());
    T* to = output.mutable_data_ptr<T>();
    const double item_ns = attention_ns(args) * static_cast<double>(args.heads);
    run_parallel(args.batch * args.queries, item_ns, [&](int64_t begin, int64_t end) {
      std::vector<Corner<T>> corners(4 * args.levels * args.points);
      kernels<T>().attend(args, begin, end, corners.data(), to);
    });
    return output.to(value.scalar_type());
  });
}

// The value (batch, pixels, heads, channels) with the pixels of a head together in memory.
Tensor by_heads(const Tensor& value, at::ScalarType dtype) {
  return prepared(value.transpose(1, 2), dtype).transpose(1, 2);
}

// A thread has all queries of one image and head, so that no two threads add to one number and the order of the sums
// never changes. What it reads and adds to lies together, or it would fill only a part of the cache's sets.
std::tuple<Tensor, Tensor, Tensor> deformable_attention_backward(const Tensor& grad_output, const Tensor& value,
                                                                 const Tensor& locations, const Tensor& weights,
                                                                 at::IntArrayRef sizes) {
  check_attention(value, locations, weights, sizes);
  check_shape("grad_output", grad_output, {value.size(0), weights.size(1), value.size(2) * value.size(3)});
  check_dtype("grad_output", grad_output, value.scalar_type(), value.scalar_type());
  const auto work = work_type(value);
  const Tensor value_ = by_heads(value, work), locations_ = prepared(locations, work);
  const Tensor weights_ = prepared(weights, work), grad_output_ = prepared(grad_output, work);
  const int64_t batch = value.size(0), pixels = value.size(1), heads = value.size(2), channels = value.size(3);
  Tensor grad_value = at::zeros({batch, heads, pixels, channels}, value_.options());
  Tensor grad_locations = at::empty(locations.sizes(), locations_.options());
  Tensor grad_weights = at::empty(weights.sizes(), weights_.options());
  for_type(work, [&](auto zero) {
    using T = decltype(zero);
    const auto args = attention_args<T>(value_, locations_, weights_, grad_output_, sizes);
    const AttentionGrads<T> grads{grad_value.mutable_data_ptr<T>(), grad_locations.mutable_data_ptr<T>(),
                                  grad_weights.mutable_data_ptr<T>()};
    const double item_ns = 3 * attention_ns(args) * static_cast<double>(args.queries);
    run_parallel(args.batch * args.heads, item_ns, [&](int64_t begin, int64_t end) {
      std::vector<Corner<T>> corners(4 * args.levels * args.points);
      for (int64_t item = begin; item < end; ++item)
        kernels<T>().attend_backward(args, item / args.heads, item % args.heads, corners.data(), grads);
    });
  });
  const Tensor grad_value_ = at::empty(value.sizes(), value.options()).copy_(grad_value.transpose(1, 2));
  return {grad_value_, grad_locations, grad_weights.to(weights.scalar_type())};
}

}  // namespace

TORCH_LIBRARY_IMPL(dfmamba, CPU, m) {
  m.impl("deformable_attention", &deformable_attention);
  m.impl("deformable_attention_backward", &deformable_attention_backward);
}

}  // namespace dfmamba
