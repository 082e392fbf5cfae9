// Vectors of channels, and the three functions of them that the scan needs.
//
// The types are the vector extension of GCC and Clang: one source becomes SSE2, AVX2, AVX-512 or NEON code, as the file
// that includes it decides (VECTOR_BYTES and the target). Such a file must include nothing of the standard library that
// defines inline functions: the linker keeps one copy of each, and that copy could hold instructions that the machine
// lacks. Hence plain loops and builtins here.
#pragma once

#include <stdint.h>

#if defined(__x86_64__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // GCC 12 warns of its own header
#include <immintrin.h>  // GCC finds no max and min in a comparison with a choice
#if VECTOR_BYTES == 64
#define X86(name) _mm512_##name
#elif VECTOR_BYTES == 32
#define X86(name) _mm256_##name
#else
#define X86(name) _mm_##name
#endif
#endif

namespace {

template <typename T>
struct VectorOf;

template <>
struct VectorOf<float> {
  typedef float Type __attribute__((vector_size(VECTOR_BYTES)));
  typedef int32_t Bits __attribute__((vector_size(VECTOR_BYTES)));
};

template <>
struct VectorOf<double> {
  typedef double Type __attribute__((vector_size(VECTOR_BYTES)));
  typedef int64_t Bits __attribute__((vector_size(VECTOR_BYTES)));
};

template <typename T>
using Vec = typename VectorOf<T>::Type;

template <typename T>
constexpr int64_t kLanes = VECTOR_BYTES / sizeof(T);

template <typename T>
inline Vec<T> load(const T* from) {
  Vec<T> v;
  __builtin_memcpy(&v, from, sizeof(v));
  return v;
}

template <typename T>
inline void store(T* to, Vec<T> v) {
  __builtin_memcpy(to, &v, sizeof(v));
}

// The first `count` lanes, the others 0: the channels behind the last whole vector.
template <typename T>
inline Vec<T> load(const T* from, int64_t count) {
  if (count >= kLanes<T>) return load(from);
  Vec<T> v = {};
  for (int64_t i = 0; i < count; ++i) v[i] = from[i];
  return v;
}

template <typename T>
inline void store(T* to, Vec<T> v, int64_t count) {
  if (count >= kLanes<T>) return store(to, v);
  for (int64_t i = 0; i < count; ++i) to[i] = v[i];
}

// The sum of the lanes, by halves.
template <typename T, int64_t N>
struct Lanes {
  typedef T Type __attribute__((vector_size(N * sizeof(T))));

  static inline T sum(Type v) {
    typename Lanes<T, N / 2>::Type low, high;
    __builtin_memcpy(&low, &v, sizeof(low));
    __builtin_memcpy(&high, reinterpret_cast<const char*>(&v) + sizeof(low), sizeof(high));
    return Lanes<T, N / 2>::sum(low + high);
  }
};

template <typename T>
struct Lanes<T, 1> {
  typedef T Type;
  static inline T sum(T v) { return v; }
};

template <typename T>
inline T sum(Vec<T> v) {
  return Lanes<T, kLanes<T>>::sum(v);
}

// The larger and the smaller of a bound and a, lane by lane; a where it is NaN.
#if defined(__x86_64__)
inline Vec<float> larger(Vec<float> bound, Vec<float> a) { return X86(max_ps)(bound, a); }
inline Vec<double> larger(Vec<double> bound, Vec<double> a) { return X86(max_pd)(bound, a); }
inline Vec<float> smaller(Vec<float> bound, Vec<float> a) { return X86(min_ps)(bound, a); }
inline Vec<double> smaller(Vec<double> bound, Vec<double> a) { return X86(min_pd)(bound, a); }
#else
template <typename V>
inline V larger(V bound, V a) { return bound > a ? bound : a; }
template <typename V>
inline V smaller(V bound, V a) { return bound < a ? bound : a; }
#endif

template <typename T>
inline Vec<T> at_least(Vec<T> a, T low) { return larger(Vec<T>{} + low, a); }

template <typename T>
inline Vec<T> at_most(Vec<T> a, T high) { return smaller(Vec<T>{} + high, a); }

// Numbers of the exponential. 2^x = 2^n 2^f with n = round(x): adding `kRound` leaves n + exponent bias in the low bits
// of the sum, and a shift by `kMantissa` makes them the exponent of 2^n. From `kLow` down the result is 0 (exponent bits
// 0), from `kHigh` up infinite (exponent bits all 1).
template <typename T>
struct Exponential;

template <>
struct Exponential<float> {
  static constexpr float kRound = 12582912.0f + 127.0f;  // 1.5 * 2^23 + bias
  static constexpr int kMantissa = 23;
  static constexpr float kLow = -127.0f, kHigh = 128.0f;
  static constexpr float kLog2High = 0x1.62e4p-1f, kLog2Low = 0x1.7f7d1cp-20f;  // ln 2 in two parts
  static constexpr int kTermsLog1p = 8;
  // 2^f - 1 over f on [-1/2, 1/2]: our own minimax fit of the relative error of 2^f, 9.2e-8
  static inline Vec<float> polynomial(Vec<float> f) {
    Vec<float> p = f * 0x1.5bba14p-10f + 0x1.3cea88p-7f;
    p = p * f + 0x1.c6b752p-5f;
    p = p * f + 0x1.ebf9bcp-3f;
    return p * f + 0x1.62e42ap-1f;
  }
};

template <>
struct Exponential<double> {
  static constexpr double kRound = 6755399441055744.0 + 1023.0;  // 1.5 * 2^52 + bias
  static constexpr int kMantissa = 52;
  static constexpr double kLow = -1023.0, kHigh = 1024.0;
  static constexpr double kLog2High = 0x1.62e42fefa0000p-1, kLog2Low = 0x1.cf79abc9e3b3ap-40;
  static constexpr int kTermsLog1p = 17;
  // Taylor's series of (e^(f ln 2) - 1) / f up to (f ln 2)^13
  static inline Vec<double> polynomial(Vec<double> f) {
    constexpr double kLn2 = 0.693147180559945309417;
    const Vec<double> r = f * kLn2;
    Vec<double> p = Vec<double>{} + 1.0;
    for (int k = 13; k >= 2; --k) p = p * r * (1.0 / k) + 1.0;
    return p * kLn2;
  }
};

template <typename T>
inline Vec<T> scale(Vec<T> rounded) {
  using Bits = typename VectorOf<T>::Bits;
  return (Vec<T>)((Bits)rounded << Exponential<T>::kMantissa);
}

// 2^x; exact at 0.
template <typename T>
inline Vec<T> exp2(Vec<T> x) {
  using E = Exponential<T>;
  x = at_most<T>(at_least<T>(x, E::kLow), E::kHigh);
  const Vec<T> rounded = x + E::kRound;
  const Vec<T> f = x - (rounded - E::kRound);
  return (f * E::polynomial(f) + T(1)) * scale<T>(rounded);
}

// e^x for x <= 0, reduced with ln 2 in two parts (Cody and Waite) so that large |x| keep their relative accuracy.
template <typename T>
inline Vec<T> exp_negative(Vec<T> x) {
  using E = Exponential<T>;
  constexpr T kLog2e = T(1.44269504088896340736);
  x = at_least<T>(x, E::kLow / kLog2e);
  const Vec<T> rounded = x * kLog2e + E::kRound;
  const Vec<T> n = rounded - E::kRound;
  const Vec<T> f = ((x - n * E::kLog2High) - n * E::kLog2Low) * kLog2e;
  return (f * E::polynomial(f) + T(1)) * scale<T>(rounded);
}

// softplus(s) = ln(1 + e^s) and its derivative, the sigmoid, for every s without overflow or cancellation:
// max(s, 0) + ln(1 + z) with z = e^-|s|, and ln(1 + z) = 2 artanh(z / (2 + z)), a series in powers of at most 1/9.
// Above 20 it is s, as torch defines it (2e-9 less, which only float64 can tell).
template <typename T>
inline Vec<T> softplus(Vec<T> s, Vec<T>* slope) {
  const Vec<T> zero = {}, threshold = zero + T(20);
  const Vec<T> z = exp_negative<T>(s > zero ? -s : s);
  const Vec<T> ratio = z / (z + T(2)), square = ratio * ratio;
  Vec<T> series = zero + T(1) / (2 * Exponential<T>::kTermsLog1p - 1);
  for (int k = Exponential<T>::kTermsLog1p - 2; k >= 0; --k) series = series * square + T(1) / (2 * k + 1);
  if (slope != nullptr) {
    const Vec<T> share = T(1) / (z + T(1));
    *slope = s > threshold ? zero + T(1) : (s > zero ? share : z * share);
  }
  return s > threshold ? s : at_least<T>(s, T(0)) + T(2) * ratio * series;
}

}  // namespace
