// The torch side of the CUDA kernels: checks, memory, device and stream.

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/library.h>

#include <cmath>
#include <optional>
#include <string>
#include <tuple>

#include "launch.h"

#ifndef DFMAMBA_CUDA_ARCHITECTURES  // setup.py sets it
#define DFMAMBA_CUDA_ARCHITECTURES unknown
#endif
#define DFMAMBA_TEXT_OF(name) #name
#define DFMAMBA_TEXT(name) DFMAMBA_TEXT_OF(name)

namespace dfmamba {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

constexpr int64_t kMaxStates = 64;
constexpr int64_t kMaxExtent = 1 << 30;  // tokens and channels are counted in 32 bits, addresses in 64

// --- Arguments ------------------------------------------------------------------------------------------------------

at::ScalarType work_type(const Tensor& x) { return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat; }

cuda::DType dtype_of(const char* name, const Tensor& x) {
  switch (x.scalar_type()) {
    case at::kFloat: return cuda::DType::float32;
    case at::kDouble: return cuda::DType::float64;
    case at::kHalf: return cuda::DType::float16;
    case at::kBFloat16: return cuda::DType::bfloat16;
    default: TORCH_CHECK(false, name, ": expected float32, float64, float16 or bfloat16, got ", x.scalar_type());
  }
}

// `x` is the tensor that sets T, W and the device.
void check(const char* name, const Tensor& tensor, at::IntArrayRef shape, const Tensor& x, bool io, bool work) {
  TORCH_CHECK(tensor.device() == x.device(), name, ": expected a tensor on ", x.device(), ", got one on ",
              tensor.device());
  TORCH_CHECK(tensor.sizes() == shape, name, ": expected shape ", shape, ", got ", tensor.sizes());
  const auto dtype = tensor.scalar_type();
  TORCH_CHECK((io && dtype == x.scalar_type()) || (work && dtype == work_type(x)), name, ": expected dtype ",
              io ? x.scalar_type() : work_type(x), io && work && work_type(x) != x.scalar_type() ? " or float32" : "",
              ", got ", dtype);
}

void check_io(const char* name, const Tensor& tensor, at::IntArrayRef shape, const Tensor& x) {
  check(name, tensor, shape, x, true, false);
}

void check_work(const char* name, const Tensor& tensor, at::IntArrayRef shape, const Tensor& x) {
  check(name, tensor, shape, x, false, true);
}

void check_either(const char* name, const Tensor& tensor, at::IntArrayRef shape, const Tensor& x) {
  check(name, tensor, shape, x, true, true);
}

void check_tokens(const char* name, const Tensor& x) {
  TORCH_CHECK(x.is_cuda(), name, ": expected a tensor on a CUDA device, got one on ", x.device());
  TORCH_CHECK(x.dim() == 3, name, ": expected 3 axes (batch, L, channels), got shape ", x.sizes());
  TORCH_CHECK(x.size(1) <= kMaxExtent && x.size(2) <= kMaxExtent, name, ": expected at most ", kMaxExtent,
              " tokens and channels, got shape ", x.sizes());
}

OptionalTensor contiguous(const OptionalTensor& tensor) {
  return tensor.has_value() ? OptionalTensor(tensor->contiguous()) : std::nullopt;
}

// B and C may be slices of a wider projection: rows at a constant distance are followed, not copied.
Tensor with_even_rows(const Tensor& rows) {
  const bool even = rows.size(0) <= 1 || rows.size(1) == 1 || rows.stride(0) == rows.size(1) * rows.stride(1);
  return even && rows.stride(2) == 1 ? rows : rows.contiguous();
}

// The stride of an axis of one entry says nothing.
int64_t row_distance(const Tensor& rows) { return rows.size(1) == 1 ? rows.stride(0) : rows.stride(1); }

const void* data(const OptionalTensor& tensor) { return tensor.has_value() ? tensor->const_data_ptr() : nullptr; }

cuda::Array array(const Tensor& tensor) {
  return {tensor.const_data_ptr(), tensor.scalar_type() == work_type(tensor)};
}

cuda::MutableArray mutable_array(const Tensor& tensor) {
  return {tensor.mutable_data_ptr(), tensor.scalar_type() == work_type(tensor)};
}

void check_launch(const char* name, int error) {
  TORCH_CHECK(error == 0, "dfmamba::", name, ": the CUDA kernel could not be launched: ",
              cudaGetErrorString(static_cast<cudaError_t>(error)));
}

cuda::Stream stream() { return c10::cuda::getCurrentCUDAStream().stream(); }

// --- Sampling -------------------------------------------------------------------------------------------------------

cuda::SampleSizes sample_sizes(const Tensor& x, const Tensor& offset, const Tensor& weight, at::IntArrayRef size) {
  check_tokens("x", x);
  const int64_t axes = static_cast<int64_t>(size.size());
  TORCH_CHECK(axes == 1 || axes == 2, "size: expected (H, W) or (L,), got ", size);
  const int64_t height = axes == 2 ? size[0] : 1, width = size[axes - 1];
  TORCH_CHECK(height >= 1 && width >= 1 && height <= kMaxExtent && width <= kMaxExtent && height * width == x.size(1),
              "size: expected positive integers with the product L = ", x.size(1), ", got ", size);
  TORCH_CHECK(offset.dim() == 5, "offset: expected 5 axes (batch, L, groups, K, axes), got shape ", offset.sizes());
  const int64_t groups = offset.size(2), anchors = offset.size(3);
  TORCH_CHECK(groups >= 1 && x.size(2) % groups == 0, "offset: expected a number of groups that divides the ",
              x.size(2), " channels of x, got ", groups);
  const int64_t side = axes == 2 ? std::llround(std::sqrt(static_cast<double>(anchors))) : anchors;
  TORCH_CHECK(side % 2 == 1 && anchors <= kMaxExtent && (axes == 2 ? side * side : side) == anchors,
              "offset: expected K to be an odd number, with two axes the square of one, got ", anchors);
  check_work("offset", offset, {x.size(0), x.size(1), groups, anchors, axes}, x);
  check_either("weight", weight, {x.size(0), x.size(1), groups, anchors}, x);
  return {x.size(0), height, width, axes, x.size(2), groups, anchors};
}

Tensor sample(const Tensor& x_, const Tensor& offset_, const Tensor& weight_, at::IntArrayRef size) {
  const auto sizes = sample_sizes(x_, offset_, weight_, size);
  const auto dtype = dtype_of("x", x_);
  const c10::cuda::CUDAGuard guard(x_.device());
  const Tensor x = x_.contiguous(), offset = offset_.contiguous(), weight = weight_.contiguous();
  Tensor u = at::empty(x.sizes(), x.options());
  check_launch("sample", cuda::sample(dtype, sizes, x.const_data_ptr(), offset.const_data_ptr(), array(weight),
                                      u.mutable_data_ptr(), stream()));
  return u;
}

using ThreeTensors = std::tuple<Tensor, Tensor, Tensor>;

// `skip` is that of launch.h.
ThreeTensors run_sample_backward(const Tensor& grad_u_, const Tensor& x_, const Tensor& offset_, const Tensor& weight_,
                                 at::IntArrayRef size, const cuda::Skip& skip) {
  const auto sizes = sample_sizes(x_, offset_, weight_, size);
  check_io("grad_u", grad_u_, x_.sizes(), x_);
  const auto dtype = dtype_of("x", x_);
  const c10::cuda::CUDAGuard guard(x_.device());
  const Tensor x = x_.contiguous(), offset = offset_.contiguous(), weight = weight_.contiguous();
  const Tensor grad_u = grad_u_.contiguous();
  Tensor grad_x = at::empty(x.sizes(), x.options());
  Tensor grad_offset = at::empty(offset.sizes(), offset.options());
  Tensor grad_weight = at::empty(weight.sizes(), weight.options());
  const int error = cuda::sample_backward(
      dtype, sizes, grad_u.const_data_ptr(), x.const_data_ptr(), offset.const_data_ptr(), array(weight), skip,
      grad_x.mutable_data_ptr(), grad_offset.mutable_data_ptr(), mutable_array(grad_weight), stream());
  check_launch("sample_backward", error);
  return {grad_x, grad_offset, grad_weight};
}

ThreeTensors sample_backward(const Tensor& grad_u, const Tensor& x, const Tensor& offset, const Tensor& weight,
                             at::IntArrayRef size) {
  return run_sample_backward(grad_u, x, offset, weight, size, {nullptr, nullptr});
}

// --- Scan -----------------------------------------------------------------------------------------------------------

// The arguments of a scan as the kernels take them. Lives as long as the launch: it keeps the tensors.
struct Scan {
  Tensor u, delta, A, B, C;
  OptionalTensor D, delta_bias, x;
  cuda::ScanSizes sizes;
  cuda::DType dtype;

  Scan(const char* name, const Tensor& u_, const Tensor& delta_, const Tensor& A_, const Tensor& B_, const Tensor& C_,
       const OptionalTensor& D_, const OptionalTensor& delta_bias_, const OptionalTensor& x_, bool softplus) {
    check_tokens(name, u_);
    dtype = dtype_of(name, u_);
    const int64_t batch = u_.size(0), length = u_.size(1), channels = u_.size(2);
    TORCH_CHECK(A_.dim() == 2 && A_.size(1) >= 1 && A_.size(1) <= kMaxStates,
                "A: expected shape (channels, N) with N from 1 to ", kMaxStates, ", got ", A_.sizes());
    const int64_t states = A_.size(1);
    check_either("delta", delta_, u_.sizes(), u_);
    check_work("A", A_, {channels, states}, u_);
    check_either("B", B_, {batch, length, states}, u_);
    check_either("C", C_, {batch, length, states}, u_);
    if (D_.has_value()) check_work("D", *D_, {channels}, u_);
    if (delta_bias_.has_value()) check_work("delta_bias", *delta_bias_, {channels}, u_);
    if (x_.has_value()) check_io("x", *x_, u_.sizes(), u_);
    sizes = {batch, length, channels, states, softplus};

    const c10::cuda::CUDAGuard guard(u_.device());
    u = u_.contiguous(), delta = delta_.contiguous(), A = A_.contiguous();
    B = with_even_rows(B_), C = with_even_rows(C_);
    D = contiguous(D_), delta_bias = contiguous(delta_bias_), x = contiguous(x_);
  }

  cuda::ScanInputs inputs() const {
    return {u.const_data_ptr(), array(delta),     A.const_data_ptr(), array(B),        array(C),
            data(D),            data(delta_bias), data(x),            row_distance(B), row_distance(C)};
  }
};

Tensor run_scan(const Scan& scan) {
  Tensor y = at::empty(scan.u.sizes(), scan.u.options());
  check_launch("scan", cuda::scan(scan.dtype, scan.sizes, scan.inputs(), y.mutable_data_ptr(), stream()));
  return y;
}

Tensor scan(const Tensor& u, const Tensor& delta, const Tensor& A, const Tensor& B, const Tensor& C,
            const OptionalTensor& D, const OptionalTensor& delta_bias, const OptionalTensor& x, bool delta_softplus) {
  const Scan scan("u", u, delta, A, B, C, D, delta_bias, x, delta_softplus);
  const c10::cuda::CUDAGuard guard(u.device());
  return run_scan(scan);
}

using EightTensors = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor>;

// Without `wants_grad_x`, that gradient is empty.
EightTensors run_scan_backward(const Tensor& grad_y_, const Tensor& u, const Tensor& delta, const Tensor& A,
                               const Tensor& B, const Tensor& C, const OptionalTensor& D,
                               const OptionalTensor& delta_bias, const OptionalTensor& x, bool delta_softplus,
                               bool wants_grad_x) {
  const Scan scan("u", u, delta, A, B, C, D, delta_bias, x, delta_softplus);
  check_io("grad_y", grad_y_, u.sizes(), u);
  const c10::cuda::CUDAGuard guard(u.device());
  const Tensor grad_y = grad_y_.contiguous();
  const auto like = [](const Tensor& tensor) { return at::empty(tensor.sizes(), tensor.options()); };
  const auto like_optional = [&](const OptionalTensor& tensor, at::ScalarType dtype) {
    return tensor.has_value() ? like(*tensor) : at::empty({0}, u.options().dtype(dtype));
  };
  const Tensor grad_u = like(u), grad_delta = like(delta), grad_A = like(A), grad_B = like(B), grad_C = like(C);
  const Tensor grad_D = like_optional(D, work_type(u)), grad_bias = like_optional(delta_bias, work_type(u));
  const OptionalTensor skip = wants_grad_x ? x : std::nullopt;
  const Tensor grad_x = like_optional(skip, u.scalar_type());
  const auto place = [](const OptionalTensor& argument, const Tensor& gradient) {
    return argument.has_value() ? gradient.mutable_data_ptr() : nullptr;
  };
  const cuda::ScanGradients gradients{
      grad_u.mutable_data_ptr(), mutable_array(grad_delta), grad_A.mutable_data_ptr(), mutable_array(grad_B),
      mutable_array(grad_C),     place(D, grad_D),          place(delta_bias, grad_bias), place(skip, grad_x)};
  const auto bytes = static_cast<int64_t>(cuda::scan_backward_workspace(scan.dtype, scan.sizes));
  const Tensor workspace = at::empty({bytes}, u.options().dtype(at::kByte));
  check_launch("scan_backward",
               cuda::scan_backward(scan.dtype, scan.sizes, scan.inputs(), grad_y.const_data_ptr(), gradients,
                                   workspace.mutable_data_ptr(), stream()));
  return {grad_u, grad_delta, grad_A, grad_B, grad_C, grad_D, grad_bias, grad_x};
}

EightTensors scan_backward(const Tensor& grad_y, const Tensor& u, const Tensor& delta, const Tensor& A, const Tensor& B,
                           const Tensor& C, const OptionalTensor& D, const OptionalTensor& delta_bias,
                           const OptionalTensor& x, bool delta_softplus) {
  return run_scan_backward(grad_y, u, delta, A, B, C, D, delta_bias, x, delta_softplus, true);
}

// --- Both in one ----------------------------------------------------------------------------------------------------

Tensor dssm(const Tensor& x_, const Tensor& offset_, const Tensor& weight_, const Tensor& delta, const Tensor& A,
            const Tensor& B, const Tensor& C, const OptionalTensor& D, const OptionalTensor& delta_bias,
            at::IntArrayRef size, bool delta_softplus) {
  const auto map = sample_sizes(x_, offset_, weight_, size);
  const c10::cuda::CUDAGuard guard(x_.device());
  const Tensor x = x_.contiguous(), offset = offset_.contiguous(), weight = weight_.contiguous();
  const Scan scan("x", x, delta, A, B, C, D, delta_bias, x, delta_softplus);
  if (!cuda::dssm_fits(scan.dtype, map, scan.sizes, x.const_data_ptr())) {
    const auto work = work_type(x);  // u, which one kernel hands to the other, must not be rounded to half precision
    const Tensor wide = x.to(work);
    Scan wide_scan("x", wide, delta.to(work), A, B.to(work), C.to(work), D, delta_bias, wide, delta_softplus);
    wide_scan.u = sample(wide, offset, weight.to(work), size);
    return run_scan(wide_scan).to(x.scalar_type());
  }
  Tensor y = at::empty(x.sizes(), x.options());
  check_launch("dssm", cuda::dssm(scan.dtype, map, scan.sizes, offset.const_data_ptr(), array(weight), scan.inputs(),
                                  y.mutable_data_ptr(), stream()));
  return y;
}

using NineTensors = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor>;

// As in ../autograd.cpp, but for the skip, which is added while grad_x is written.
NineTensors dssm_backward(const Tensor& grad_y_, const Tensor& x_, const Tensor& offset, const Tensor& weight_,
                          const Tensor& delta, const Tensor& A, const Tensor& B, const Tensor& C,
                          const OptionalTensor& D_, const OptionalTensor& delta_bias, at::IntArrayRef size,
                          bool delta_softplus) {
  check_tokens("x", x_);
  check_io("grad_y", grad_y_, x_.sizes(), x_);
  const c10::cuda::CUDAGuard guard(x_.device());
  const auto work = work_type(x_);
  const Tensor x = x_.to(work), weight = weight_.to(work), grad_y = grad_y_.to(work).contiguous();
  const OptionalTensor D = contiguous(D_), skipped = D.has_value() ? OptionalTensor(x) : std::nullopt;
  Tensor u = sample(x, offset, weight, size);
  auto [grad_u, grad_delta, grad_A, grad_B, grad_C, grad_D, grad_bias, none] = run_scan_backward(
      grad_y, u, delta.to(work), A, B.to(work), C.to(work), D, delta_bias, skipped, delta_softplus, false);
  u.reset();  // of the size of x: its memory can hold the next result
  const cuda::Skip skip{data(D), D.has_value() ? grad_y.const_data_ptr() : nullptr};
  auto [grad_x, grad_offset, grad_weight] = run_sample_backward(grad_u, x, offset, weight, size, skip);
  return {grad_x.to(x_.scalar_type()), grad_offset, grad_weight.to(weight_.scalar_type()),
          grad_delta.to(delta.scalar_type()), grad_A, grad_B.to(B.scalar_type()), grad_C.to(C.scalar_type()), grad_D,
          grad_bias};
}

// What the kernels were compiled for, by nvcc's names: "sm_80__sm_90__compute_90".
std::string cuda_architectures() { return DFMAMBA_TEXT(DFMAMBA_CUDA_ARCHITECTURES); }

}  // namespace

TORCH_LIBRARY_FRAGMENT(dfmamba, m) {
  m.def("cuda_architectures() -> str", &cuda_architectures);
}

TORCH_LIBRARY_IMPL(dfmamba, CUDA, m) {
  m.impl("sample", &sample);
  m.impl("sample_backward", &sample_backward);
  m.impl("scan", &scan);
  m.impl("scan_backward", &scan_backward);
  m.impl("dssm", &dssm);
  m.impl("dssm_backward", &dssm_backward);
}

}  // namespace dfmamba
