// The CPU implementation of the operators: checks, memory, threads. The arithmetic is in sample_kernels.h and
// scan_kernels.h.

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <memory>
#include <new>
#include <tuple>
#include <vector>

#include "host.h"

namespace dfmamba {
namespace {

constexpr int64_t kMaxStates = 64;

template <typename T>
double sample_ns(const SampleArgs<T>& args) {  // of one token
  return static_cast<double>(args.anchors) * (10.0 * args.groups + 0.1 * args.channels);
}

template <typename T>
double scan_ns(const ScanArgs<T>& args) {  // of one block of one image
  return static_cast<double>(args.length) * (10.0 + 2.0 * args.states);
}

void check_tokens(const char* name, const Tensor& x) {
  TORCH_CHECK(x.dim() == 3, name, ": expected 3 axes (batch, L, channels), got shape ", x.sizes());
  TORCH_CHECK(x.is_floating_point(), name, ": expected floating-point numbers, got ", x.scalar_type());
}

// --- Sampling -------------------------------------------------------------------------------------------------------

void check_sample(const Tensor& x, const Tensor& offset, const Tensor& weight, at::IntArrayRef size) {
  check_tokens("x", x);
  const int64_t axes = static_cast<int64_t>(size.size());
  TORCH_CHECK(axes == 1 || axes == 2, "size: expected (H, W) or (L,), got ", size);
  TORCH_CHECK(size[0] >= 1 && size[axes - 1] >= 1 && size[0] * (axes == 2 ? size[1] : 1) == x.size(1),
              "size: expected positive integers with the product L = ", x.size(1), ", got ", size);
  TORCH_CHECK(offset.dim() == 5, "offset: expected 5 axes (batch, L, groups, K, axes), got shape ", offset.sizes());
  const int64_t groups = offset.size(2), anchors = offset.size(3);
  TORCH_CHECK(groups >= 1 && x.size(2) % groups == 0, "offset: expected a number of groups that divides the ",
              x.size(2), " channels of x, got ", groups);
  const int64_t side = axes == 2 ? std::llround(std::sqrt(static_cast<double>(anchors))) : anchors;
  TORCH_CHECK(side % 2 == 1 && (axes == 2 ? side * side : side) == anchors,
              "offset: expected K to be an odd number, with two axes the square of one, got ", anchors);
  check_shape("offset", offset, {x.size(0), x.size(1), groups, anchors, axes});
  check_shape("weight", weight, {x.size(0), x.size(1), groups, anchors});
  check_dtype("offset", offset, work_type(x), work_type(x));
  check_dtype("weight", weight, x.scalar_type(), work_type(x));
}

template <typename T>
SampleArgs<T> sample_args(const Tensor& x, const Tensor& offset, const Tensor& weight, const OptionalTensor& grad_u,
                          at::IntArrayRef size) {
  SampleArgs<T> args{};
  args.x = x.const_data_ptr<T>();
  args.offset = offset.const_data_ptr<T>();
  args.weight = weight.const_data_ptr<T>();
  args.grad_u = data<T>(grad_u);
  args.batch = x.size(0), args.length = x.size(1), args.channels = x.size(2);
  args.groups = offset.size(2), args.anchors = offset.size(3), args.axes = offset.size(4);
  args.height = args.axes == 2 ? size[0] : 1;
  args.width = size[args.axes - 1];
  const int64_t side = args.axes == 2 ? std::llround(std::sqrt(static_cast<double>(args.anchors))) : args.anchors;
  args.radius_x = (side - 1) / 2;
  args.radius_y = args.axes == 2 ? args.radius_x : 0;
  return args;
}

template <typename T>
Tensor sample_prepared(const Tensor& x, const Tensor& offset, const Tensor& weight, at::IntArrayRef size) {
  Tensor u = at::empty(x.sizes(), x.options());
  const auto args = sample_args<T>(x, offset, weight, std::nullopt, size);
  T* to = u.mutable_data_ptr<T>();
  run_parallel(args.batch * args.length, sample_ns(args), [&](int64_t begin, int64_t end) {
    std::vector<Corner<T>> corners(4 * args.anchors);
    kernels<T>().gather(args, begin, end, corners.data(), to);
  });
  return u;
}

Tensor sample(const Tensor& x, const Tensor& offset, const Tensor& weight, at::IntArrayRef size) {
  check_sample(x, offset, weight, size);
  const auto work = work_type(x);
  return for_type(work, [&](auto zero) {
    using T = decltype(zero);
    const Tensor u = sample_prepared<T>(prepared(x, work), prepared(offset, work), prepared(weight, work), size);
    return u.to(x.scalar_type());
  });
}

// Channels are shared out, so that no two threads add to one number; the order of the sums never changes.
template <typename T>
void scatter_parallel(const SampleArgs<T>& args, T* grad_x) {
  constexpr int64_t kEnough = 4;  // pieces a thread, from which on they need not be smaller than a group
  const int64_t lanes = kernels<T>().lanes, group_channels = args.channels / args.groups;
  const int64_t vectors = (group_channels + lanes - 1) / lanes;
  const int64_t threads = threads_for(sample_ns(args) * static_cast<double>(args.batch * args.length));
  const int64_t parts = args.batch * args.groups >= kEnough * threads ? 1 : std::min(threads, vectors);
  const int64_t part_channels = (vectors + parts - 1) / parts * lanes;
  const int64_t items = args.batch * args.groups * parts;
  const double item_ns = sample_ns(args) * static_cast<double>(args.length) / static_cast<double>(args.groups * parts);
  run_parallel(items, item_ns, [&](int64_t begin, int64_t end) {
    std::vector<Corner<T>> corners(4 * args.anchors);
    for (int64_t item = begin; item < end; ++item) {
      const int64_t part = item % parts, group = item / parts % args.groups, image = item / parts / args.groups;
      const int64_t first = group * group_channels + part * part_channels;
      const int64_t last = std::min(first + part_channels, (group + 1) * group_channels);
      if (first < last) kernels<T>().scatter(args, image, first, last, corners.data(), grad_x);
    }
  });
}

std::tuple<Tensor, Tensor, Tensor> sample_backward(const Tensor& grad_u, const Tensor& x, const Tensor& offset,
                                                   const Tensor& weight, at::IntArrayRef size) {
  check_sample(x, offset, weight, size);
  check_shape("grad_u", grad_u, x.sizes());
  check_dtype("grad_u", grad_u, x.scalar_type(), x.scalar_type());
  const auto work = work_type(x);
  const Tensor x_ = prepared(x, work), offset_ = prepared(offset, work), weight_ = prepared(weight, work);
  const Tensor grad_u_ = prepared(grad_u, work);
  Tensor grad_x = at::zeros(x.sizes(), x_.options());
  Tensor grad_offset = at::empty(offset.sizes(), offset_.options());
  Tensor grad_weight = at::empty(weight.sizes(), weight_.options());
  for_type(work, [&](auto zero) {
    using T = decltype(zero);
    const auto args = sample_args<T>(x_, offset_, weight_, grad_u_, size);
    T* to_offset = grad_offset.mutable_data_ptr<T>();
    T* to_weight = grad_weight.mutable_data_ptr<T>();
    run_parallel(args.batch * args.length, sample_ns(args), [&](int64_t begin, int64_t end) {
      kernels<T>().gather_grad(args, begin, end, to_offset, to_weight);
    });
    scatter_parallel(args, grad_x.mutable_data_ptr<T>());
  });
  return {grad_x.to(x.scalar_type()), grad_offset, grad_weight.to(weight.scalar_type())};
}

// --- Scan -----------------------------------------------------------------------------------------------------------

void check_scan(const Tensor& u, const Tensor& delta, const Tensor& A, const Tensor& B, const Tensor& C,
                const OptionalTensor& D, const OptionalTensor& delta_bias, const OptionalTensor& x) {
  check_tokens("u", u);
  const auto io = u.scalar_type(), work = work_type(u);
  const int64_t batch = u.size(0), length = u.size(1), channels = u.size(2);
  TORCH_CHECK(A.dim() == 2 && A.size(1) <= kMaxStates, "A: expected shape (channels, N) with N at most ", kMaxStates,
              ", got ", A.sizes());
  check_shape("delta", delta, u.sizes());
  check_shape("A", A, {channels, A.size(1)});
  check_shape("B", B, {batch, length, A.size(1)});
  check_shape("C", C, {batch, length, A.size(1)});
  check_dtype("delta", delta, io, work);
  check_dtype("A", A, work, work);
  check_dtype("B", B, io, work);
  check_dtype("C", C, io, work);
  if (D.has_value()) check_shape("D", *D, {channels}), check_dtype("D", *D, work, work);
  if (delta_bias.has_value()) {
    check_shape("delta_bias", *delta_bias, {channels});
    check_dtype("delta_bias", *delta_bias, work, work);
  }
  if (x.has_value()) check_shape("x", *x, u.sizes()), check_dtype("x", *x, io, io);
}

// The distance of two rows of (batch, L, N). The stride of an axis with one entry says nothing.
int64_t row_distance(const Tensor& rows) { return rows.size(1) == 1 ? rows.stride(0) : rows.stride(1); }

// B and C may be slices of a wider projection: rows at a constant distance are followed, not copied.
Tensor prepared_rows(const Tensor& rows, at::ScalarType dtype) {
  const bool even = rows.size(0) <= 1 || rows.stride(0) == rows.size(1) * row_distance(rows);
  if (rows.scalar_type() == dtype && even && rows.stride(2) == 1) return rows;
  return prepared(rows, dtype);
}

// The arguments of a scan as the kernels take them: the tensors are kept so that their memory lives.
struct PreparedScan {
  Tensor u, delta, A, B, C;
  OptionalTensor D, bias, x;
  bool softplus;

  PreparedScan(const Tensor& u_, const Tensor& delta_, const Tensor& A_, const Tensor& B_, const Tensor& C_,
               const OptionalTensor& D_, const OptionalTensor& bias_, const OptionalTensor& x_, bool softplus_)
      : softplus(softplus_) {
    const auto work = work_type(u_);
    u = prepared(u_, work), delta = prepared(delta_, work), A = prepared(A_, work);
    B = prepared_rows(B_, work), C = prepared_rows(C_, work);
    D = prepared(D_, work), bias = prepared(bias_, work), x = prepared(x_, work);
  }

  template <typename T>
  ScanArgs<T> args() const {
    ScanArgs<T> args{};
    args.u = u.const_data_ptr<T>(), args.delta = delta.const_data_ptr<T>(), args.A = A.const_data_ptr<T>();
    args.B = B.const_data_ptr<T>(), args.C = C.const_data_ptr<T>();
    args.row_B = row_distance(B), args.row_C = row_distance(C);
    args.D = data<T>(D), args.bias = data<T>(bias);
    args.skip = x.has_value() ? data<T>(x) : args.u;
    args.batch = u.size(0), args.length = u.size(1), args.channels = u.size(2), args.states = A.size(1);
    args.softplus = softplus;
    return args;
  }
};

template <typename T>
int64_t count_blocks(const ScanArgs<T>& args) {
  return (args.channels + kernels<T>().lanes - 1) / kernels<T>().lanes;
}

template <typename T>
Tensor scan_prepared(const PreparedScan& scan) {
  Tensor y = at::empty(scan.u.sizes(), scan.u.options());
  const auto args = scan.args<T>();
  T* to = y.mutable_data_ptr<T>();
  const int64_t blocks = count_blocks(args);
  run_parallel(args.batch * blocks, scan_ns(args), [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) kernels<T>().scan(args, item / blocks, item % blocks, to);
  });
  return y;
}

Tensor scan(const Tensor& u, const Tensor& delta, const Tensor& A, const Tensor& B, const Tensor& C,
            const OptionalTensor& D, const OptionalTensor& delta_bias, const OptionalTensor& x, bool delta_softplus) {
  check_scan(u, delta, A, B, C, D, delta_bias, x);
  const PreparedScan prepared_scan(u, delta, A, B, C, D, delta_bias, x, delta_softplus);
  return for_type(work_type(u), [&](auto zero) {
    return scan_prepared<decltype(zero)>(prepared_scan).to(u.scalar_type());
  });
}

struct AlignedDelete {
  void operator()(void* memory) const { ::operator delete(memory, std::align_val_t(64)); }
};

template <typename T>
std::unique_ptr<T, AlignedDelete> aligned(int64_t count) {
  return std::unique_ptr<T, AlignedDelete>(static_cast<T*>(::operator new(count * sizeof(T), std::align_val_t(64))));
}

// The blocks of an image are cut into as many parts as it takes to give every thread one. Each part sums its own share
// of grad_B and grad_C (parts, batch, L, N), so that the result is the same from run to run; with another number of
// threads the last bits may differ.
template <typename T>
void scan_backward_parallel(const ScanArgs<T>& args, int64_t parts, const ScanGrads<T>& grads) {
  const int64_t blocks = count_blocks(args), part_blocks = (blocks + parts - 1) / parts;
  const int64_t rows = args.length * args.states;
  const double item_ns = 3 * scan_ns(args) * static_cast<double>(part_blocks);
  run_parallel(args.batch * parts, item_ns, [&](int64_t begin, int64_t end) {
    const auto scratch = aligned<T>(kernels<T>().scan_scratch(args, part_blocks));
    for (int64_t item = begin; item < end; ++item) {
      const int64_t image = item / parts, part = item % parts;
      ScanGrads<T> own = grads;
      own.B += (part * args.batch + image) * rows;
      own.C += (part * args.batch + image) * rows;
      const int64_t first = std::min(part * part_blocks, blocks), last = std::min(first + part_blocks, blocks);
      kernels<T>().scan_backward(args, image, first, last, scratch.get(), own);
    }
  });
}

template <typename T>
int64_t count_parts(const ScanArgs<T>& args) {
  const int64_t blocks = count_blocks(args);
  const int64_t threads = threads_for(3 * scan_ns(args) * static_cast<double>(args.batch * blocks));
  return std::clamp<int64_t>((threads + args.batch - 1) / std::max<int64_t>(args.batch, 1), 1, blocks);
}

using EightTensors = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor>;

EightTensors scan_backward(const Tensor& grad_y, const Tensor& u, const Tensor& delta, const Tensor& A,
                           const Tensor& B, const Tensor& C, const OptionalTensor& D, const OptionalTensor& delta_bias,
                           const OptionalTensor& x, bool delta_softplus) {
  check_scan(u, delta, A, B, C, D, delta_bias, x);
  check_shape("grad_y", grad_y, u.sizes());
  check_dtype("grad_y", grad_y, u.scalar_type(), u.scalar_type());
  const PreparedScan scan(u, delta, A, B, C, D, delta_bias, x, delta_softplus);
  const auto options = scan.u.options();
  const int64_t batch = u.size(0), length = u.size(1), channels = u.size(2), states = A.size(1);
  const Tensor grad_y_ = prepared(grad_y, work_type(u));
  return for_type(work_type(u), [&](auto zero) -> EightTensors {
    using T = decltype(zero);
    auto args = scan.args<T>();
    args.grad_y = grad_y_.const_data_ptr<T>();
    const bool empty = u.numel() == 0;
    const int64_t parts = empty ? 1 : count_parts(args);
    Tensor grad_u = at::empty(u.sizes(), options), grad_delta = at::empty(u.sizes(), options);
    Tensor grad_x = at::empty(x.has_value() ? u.sizes() : at::IntArrayRef{0}, options);
    Tensor grad_A = at::zeros({batch, channels, states}, options);
    Tensor grad_D = at::zeros({batch, channels}, options), grad_bias = at::zeros({batch, channels}, options);
    Tensor grad_B = at::empty({parts, batch, length, states}, options), grad_C = at::empty_like(grad_B);
    if (empty) {  // no channels, perhaps: then nothing is added up
      grad_B.zero_(), grad_C.zero_();
    } else {
      const ScanGrads<T> grads{grad_u.mutable_data_ptr<T>(), grad_delta.mutable_data_ptr<T>(),
                               x.has_value() ? grad_x.mutable_data_ptr<T>() : nullptr, grad_A.mutable_data_ptr<T>(),
                               grad_D.mutable_data_ptr<T>(), grad_bias.mutable_data_ptr<T>(),
                               grad_B.mutable_data_ptr<T>(), grad_C.mutable_data_ptr<T>()};
      scan_backward_parallel(args, parts, grads);
    }
    const Tensor none = at::empty({0}, options);
    const auto total = [](const Tensor& sums) { return sums.size(0) == 1 ? sums.select(0, 0) : sums.sum(0); };
    const auto io = u.scalar_type();
    return {grad_u.to(io), grad_delta.to(delta.scalar_type()), total(grad_A), total(grad_B).to(B.scalar_type()),
            total(grad_C).to(C.scalar_type()), D.has_value() ? total(grad_D) : none,
            delta_bias.has_value() ? total(grad_bias) : none.clone(), grad_x.to(io)};
  });
}

// --- Both in one ----------------------------------------------------------------------------------------------------

template <typename T>
SampleArgs<T> one_image(SampleArgs<T> args, int64_t image) {
  const int64_t tokens = image * args.length, anchors = tokens * args.groups * args.anchors;
  args.x += tokens * args.channels, args.offset += anchors * args.axes, args.weight += anchors;
  args.batch = 1;
  return args;
}

template <typename T>
ScanArgs<T> one_image(ScanArgs<T> args, int64_t image, const T* u) {
  const int64_t tokens = image * args.length;
  args.u = u;
  args.delta += tokens * args.channels, args.skip += tokens * args.channels;
  args.B += tokens * args.row_B, args.C += tokens * args.row_C;
  args.batch = 1;
  return args;
}

// One thread an image: u of one image is scanned while it is still in the cache.
template <typename T>
Tensor dssm_by_image(const SampleArgs<T>& sampling, const PreparedScan& scan) {
  Tensor y = at::empty(scan.u.sizes(), scan.u.options());
  const auto args = scan.args<T>();
  T* to = y.mutable_data_ptr<T>();
  const int64_t numbers = args.length * args.channels, blocks = count_blocks(args);
  const double item_ns =
      static_cast<double>(args.length) * sample_ns(sampling) + static_cast<double>(blocks) * scan_ns(args);
  run_parallel(args.batch, item_ns, [&](int64_t begin, int64_t end) {
    const auto u = aligned<T>(numbers);
    std::vector<Corner<T>> corners(4 * sampling.anchors);
    for (int64_t image = begin; image < end; ++image) {
      kernels<T>().gather(one_image(sampling, image), 0, args.length, corners.data(), u.get());
      const auto own = one_image<T>(args, image, u.get());
      for (int64_t block = 0; block < blocks; ++block) kernels<T>().scan(own, 0, block, to + image * numbers);
    }
  });
  return y;
}

// u stays in float32 between the two, also where x is a half-precision map.
Tensor dssm(const Tensor& x, const Tensor& offset, const Tensor& weight, const Tensor& delta, const Tensor& A,
            const Tensor& B, const Tensor& C, const OptionalTensor& D, const OptionalTensor& delta_bias,
            at::IntArrayRef size, bool delta_softplus) {
  check_sample(x, offset, weight, size);
  check_scan(x, delta, A, B, C, D, delta_bias, std::nullopt);
  const auto work = work_type(x);
  const Tensor x_ = prepared(x, work), offset_ = prepared(offset, work), weight_ = prepared(weight, work);
  PreparedScan scan(x_, delta, A, B, C, D, delta_bias, x_, delta_softplus);
  return for_type(work, [&](auto zero) {
    using T = decltype(zero);
    if (x.size(0) >= at::get_num_threads()) {
      const auto sampling = sample_args<T>(x_, offset_, weight_, std::nullopt, size);
      return dssm_by_image<T>(sampling, scan).to(x.scalar_type());
    }
    scan.u = sample_prepared<T>(x_, offset_, weight_, size);
    return scan_prepared<T>(scan).to(x.scalar_type());
  });
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(dfmamba, m) {
  m.def("cpu_capability() -> str", &cpu_capability);
}

TORCH_LIBRARY_IMPL(dfmamba, CPU, m) {
  m.impl("sample", &sample);
  m.impl("sample_backward", &sample_backward);
  m.impl("scan", &scan);
  m.impl("scan_backward", &scan_backward);
  m.impl("dssm", &dssm);
}

}  // namespace dfmamba
