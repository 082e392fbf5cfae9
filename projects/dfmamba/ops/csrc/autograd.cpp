// How the operators are differentiated, on every device: the gradients of y = name(...) are name_backward(grad_y, ...),
// one for each tensor that `name` takes. There are no second and no forward-mode derivatives.

#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <algorithm>
#include <optional>
#include <string>
#include <tuple>

namespace dfmamba {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;
using torch::jit::Stack;
using OptionalTensor = std::optional<Tensor>;

// --- Any operator -----------------------------------------------------------------------------------------------------

// A call of an operator. Function::apply looks at the tensors that it is given in a list of their own, not at these.
struct Call {
  const c10::OperatorHandle& op;
  const Stack& arguments;

  Stack run() const {
    Stack stack = arguments;
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    op.callBoxed(stack);
    return stack;
  }
};

struct Once : Function<Once> {
  static constexpr const char* kNoForwardMode =
      "dfmamba: the native operators have no forward-mode derivatives; of DSSM backend='reference' has them";

  // Keeps the arguments: tensors where autograd wants them, and beside them the others, with None for each tensor.
  static variable_list forward(AutogradContext* ctx, at::TensorList tensors, const Call& call) {
    ctx->save_for_backward(tensors.vec());
    c10::List<c10::IValue> others(c10::AnyType::get());
    c10::List<bool> is_tensor;
    for (const c10::IValue& argument : call.arguments) {
      is_tensor.push_back(argument.isTensor());
      others.push_back(argument.isTensor() ? c10::IValue() : argument);
    }
    ctx->saved_data["others"] = others;
    ctx->saved_data["is_tensor"] = is_tensor;
    ctx->saved_data["name"] = call.op.schema().name();
    return {call.run()[0].toTensor()};
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto others = ctx->saved_data["others"].toList();
    const auto is_tensor = ctx->saved_data["is_tensor"].toBoolList();
    const variable_list tensors = ctx->get_saved_variables();
    Stack stack{grads[0]};
    for (size_t i = 0, tensor = 0; i < others.size(); ++i)
      stack.push_back(is_tensor[i] ? c10::IValue(tensors[tensor++]) : others.get(i));
    const std::string name = ctx->saved_data["name"].toStringRef() + "_backward";
    c10::Dispatcher::singleton().findSchemaOrThrow(name.c_str(), "").callBoxed(stack);
    variable_list of_tensors;
    for (size_t i = 0; i < stack.size(); ++i)  // absent tensors have gradients, too: empty ones
      if (is_tensor[i]) of_tensors.push_back(stack[i].toTensor());
    of_tensors.emplace_back();  // of `call`
    return of_tensors;
  }
};

// For the backward operators: what they compute may be asked for with its graph, as long as nobody differentiates it.
struct Never : Function<Never> {
  static constexpr const char* kNoSecond =
      "dfmamba: the native operators have no second derivatives; of DSSM backend='reference' has them";
  static constexpr const char* kNoForwardMode = kNoSecond;

  static variable_list forward(AutogradContext*, at::TensorList, const Call& call) {
    variable_list results;
    for (const c10::IValue& result : call.run()) results.push_back(result.toTensor());
    return results;
  }

  static variable_list backward(AutogradContext*, const variable_list&) { TORCH_CHECK(false, kNoSecond); }
};

template <typename Rule>
void differentiated(const c10::OperatorHandle& op, c10::DispatchKeySet keys, Stack* stack) {
  const size_t count = op.schema().arguments().size();
  variable_list tensors;
  bool needs_graph = false;
  for (auto argument = stack->end() - static_cast<int64_t>(count); argument != stack->end(); ++argument) {
    if (!argument->isTensor()) continue;
    const Tensor& tensor = tensors.emplace_back(argument->toTensor());
    TORCH_CHECK(!tensor._fw_grad(/*level=*/0).defined(), Rule::kNoForwardMode);
    needs_graph |= tensor.requires_grad();
  }
  if (!needs_graph || !at::GradMode::is_enabled()) {
    op.redispatchBoxed(keys & c10::after_autograd_keyset, stack);
    return;
  }
  const Stack arguments(stack->end() - static_cast<int64_t>(count), stack->end());
  stack->resize(stack->size() - count);
  for (Tensor& result : Rule::apply(at::TensorList(tensors), Call{op, arguments})) stack->push_back(std::move(result));
}

// --- The gradient of `dssm` -------------------------------------------------------------------------------------------

template <typename Signature>
c10::TypedOperatorHandle<Signature> find(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Signature>();
}

using ThreeTensors = std::tuple<Tensor, Tensor, Tensor>;
using EightTensors = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor>;
using NineTensors = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor>;

// Gathers u again, which is cheap, then goes back through the scan and the sampling. Half-precision inputs are widened
// first: u and its gradient, which the two steps hand over, must not be rounded.
NineTensors dssm_backward(const Tensor& grad_y, const Tensor& x, const Tensor& offset, const Tensor& weight,
                          const Tensor& delta, const Tensor& A, const Tensor& B, const Tensor& C,
                          const OptionalTensor& D, const OptionalTensor& delta_bias, c10::SymIntArrayRef size,
                          bool delta_softplus) {
  static const auto sample = find<Tensor(const Tensor&, const Tensor&, const Tensor&, c10::SymIntArrayRef)>(
      "dfmamba::sample");
  static const auto sample_backward =
      find<ThreeTensors(const Tensor&, const Tensor&, const Tensor&, const Tensor&, c10::SymIntArrayRef)>(
          "dfmamba::sample_backward");
  static const auto scan_backward =
      find<EightTensors(const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                        const OptionalTensor&, const OptionalTensor&, const OptionalTensor&, bool)>(
          "dfmamba::scan_backward");
  at::AutoDispatchBelowADInplaceOrView below_autograd;
  const auto work = x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const Tensor x_ = x.to(work), weight_ = weight.to(work);
  Tensor u = sample.call(x_, offset, weight_, size);
  const OptionalTensor skip = D.has_value() ? OptionalTensor(x_) : std::nullopt;
  auto [grad_u, grad_delta, grad_A, grad_B, grad_C, grad_D, grad_bias, grad_skip] = scan_backward.call(
      grad_y.to(work), u, delta.to(work), A, B.to(work), C.to(work), D, delta_bias, skip, delta_softplus);
  u.reset();  // of the size of x: its memory can hold the next result
  auto [grad_x, grad_offset, grad_weight] = sample_backward.call(grad_u, x_, offset, weight_, size);
  if (D.has_value()) grad_x.add_(grad_skip);
  return {grad_x.to(x.scalar_type()), grad_offset, grad_weight.to(weight.scalar_type()),
          grad_delta.to(delta.scalar_type()), grad_A, grad_B.to(B.scalar_type()), grad_C.to(C.scalar_type()), grad_D,
          grad_bias};
}

}  // namespace

TORCH_LIBRARY_IMPL(dfmamba, CompositeExplicitAutograd, m) { m.impl("dssm_backward", &dssm_backward); }

TORCH_LIBRARY_IMPL(dfmamba, Autograd, m) {
  for (const std::string name : {"sample", "scan", "dssm", "deformable_attention"}) {
    m.impl(name.c_str(), torch::CppFunction::makeFromBoxedFunction<&differentiated<Once>>());
    m.impl((name + "_backward").c_str(), torch::CppFunction::makeFromBoxedFunction<&differentiated<Never>>());
  }
}

}  // namespace dfmamba
