// CRC-32 (that of zlib and gzip), at the rate of the memory where the processor multiplies polynomials.
//
//   crc32(bytes, sum) -> the sum of what `sum` is the sum of, followed by these bytes
//
// Folding: the bytes so far are a polynomial over GF(2), of which only the remainder matters; so what lies D bits further on takes in what
// is here, multiplied by x^D mod P. Sixteen bytes are left at the end, which together with what did not fill a block go through tables.
// P is reflected, as the bits of bytes are, and so are its powers.

#include "bridge.h"
#include "crc.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#define POLYNOMIAL 0xEDB88320u

static pthread_once_t once = PTHREAD_ONCE_INIT;
static uint32_t tables[8][256];

typedef uint32_t (*folding)(uint32_t sum, const unsigned char *bytes, size_t length);

// sum is inverted here, as it is in the register of the algorithm.
static uint32_t by_tables(uint32_t sum, const unsigned char *bytes, size_t length) {
  for (; length >= 8; bytes += 8, length -= 8) {
    uint32_t low = sum ^ ((uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24);
    sum = tables[7][low & 255] ^ tables[6][low >> 8 & 255] ^ tables[5][low >> 16 & 255] ^ tables[4][low >> 24];
    sum ^= tables[3][bytes[4]] ^ tables[2][bytes[5]] ^ tables[1][bytes[6]] ^ tables[0][bytes[7]];
  }
  for (; length > 0; bytes += 1, length -= 1) sum = sum >> 8 ^ tables[0][(sum ^ *bytes) & 255];
  return sum;
}

static folding fold = by_tables;

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#define NARROW __attribute__((target("pclmul,sse4.1")))
#define WIDE __attribute__((target("avx512f,vpclmulqdq,pclmul,sse4.1")))

// What a lane is multiplied with to be added D bits further on: its low half lies 64 bits before its high one. (A product of two
// reflected polynomials is one bit short: 32 + 1 bits less for the low half, 32 - 1 more.)
static int64_t over_2048[2], over_512[2], over_128[2];

static int64_t power(unsigned exponent) {
  uint32_t rest = 0x80000000u;
  for (; exponent > 0; exponent -= 1) rest = rest >> 1 ^ (rest & 1 ? POLYNOMIAL : 0);
  return (int64_t)rest << 1;
}

static void powers(int64_t *pair, unsigned bits) {
  pair[0] = power(bits + 32);
  pair[1] = power(bits - 32);
}

NARROW static inline __m128i onto(__m128i lane, __m128i pair, __m128i next) {
  return _mm_xor_si128(_mm_xor_si128(_mm_clmulepi64_si128(lane, pair, 0x00), _mm_clmulepi64_si128(lane, pair, 0x11)), next);
}

// Of four lanes with what remains behind them.
NARROW static uint32_t end_of(const __m128i *lanes, const unsigned char *bytes, size_t length) {
  const __m128i pair = _mm_set_epi64x(over_128[1], over_128[0]);
  __m128i all = onto(onto(onto(lanes[0], pair, lanes[1]), pair, lanes[2]), pair, lanes[3]);
  for (; length >= 16; bytes += 16, length -= 16) all = onto(all, pair, _mm_loadu_si128((const __m128i *)bytes));
  unsigned char left[16];
  _mm_storeu_si128((__m128i *)left, all);
  return by_tables(by_tables(0, left, sizeof left), bytes, length);
}

NARROW static uint32_t by_lanes(uint32_t sum, const unsigned char *bytes, size_t length) {
  if (length < 64) return by_tables(sum, bytes, length);
  const __m128i pair = _mm_set_epi64x(over_512[1], over_512[0]);
  __m128i lanes[4];
  for (int lane = 0; lane < 4; lane += 1) lanes[lane] = _mm_loadu_si128((const __m128i *)bytes + lane);
  lanes[0] = _mm_xor_si128(lanes[0], _mm_cvtsi32_si128((int)sum));
  for (bytes += 64, length -= 64; length >= 64; bytes += 64, length -= 64) {
    for (int lane = 0; lane < 4; lane += 1) lanes[lane] = onto(lanes[lane], pair, _mm_loadu_si128((const __m128i *)bytes + lane));
  }
  return end_of(lanes, bytes, length);
}

WIDE static inline __m512i onto_wide(__m512i lanes, __m512i pair, __m512i next) {
  // The xor of all three.
  return _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(lanes, pair, 0x00), _mm512_clmulepi64_epi128(lanes, pair, 0x11), next, 0x96);
}

WIDE static uint32_t by_wide_lanes(uint32_t sum, const unsigned char *bytes, size_t length) {
  if (length < 256) return by_lanes(sum, bytes, length);
  __m512i pair = _mm512_broadcast_i32x4(_mm_set_epi64x(over_2048[1], over_2048[0]));
  __m512i wide[4];
  for (int at = 0; at < 4; at += 1) wide[at] = _mm512_loadu_si512(bytes + 64 * at);
  wide[0] = _mm512_xor_si512(wide[0], _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)sum)));
  for (bytes += 256, length -= 256; length >= 256; bytes += 256, length -= 256) {
    for (int at = 0; at < 4; at += 1) wide[at] = onto_wide(wide[at], pair, _mm512_loadu_si512(bytes + 64 * at));
  }
  pair = _mm512_broadcast_i32x4(_mm_set_epi64x(over_512[1], over_512[0]));
  __m512i all = onto_wide(onto_wide(onto_wide(wide[0], pair, wide[1]), pair, wide[2]), pair, wide[3]);
  for (; length >= 64; bytes += 64, length -= 64) all = onto_wide(all, pair, _mm512_loadu_si512(bytes));
  __m128i lanes[4];
  _mm512_storeu_si512(lanes, all);
  return end_of(lanes, bytes, length);
}

static void choose(void) {
  powers(over_2048, 2048);
  powers(over_512, 512);
  powers(over_128, 128);
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("pclmul") || !__builtin_cpu_supports("sse4.1")) return;
  bool is_wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("vpclmulqdq");
  fold = is_wide ? by_wide_lanes : by_lanes;
}
#else
static void choose(void) {}
#endif

static void prepare(void) {
  for (unsigned byte = 0; byte < 256; byte += 1) {
    uint32_t rest = byte;
    for (int bit = 0; bit < 8; bit += 1) rest = rest >> 1 ^ (rest & 1 ? POLYNOMIAL : 0);
    tables[0][byte] = rest;
  }
  for (int table = 1; table < 8; table += 1) {
    for (int byte = 0; byte < 256; byte += 1) {
      uint32_t before = tables[table - 1][byte];
      tables[table][byte] = before >> 8 ^ tables[0][before & 255];
    }
  }
  choose();
}

uint32_t crc_of(uint32_t sum, const void *bytes, size_t length) {
  pthread_once(&once, prepare);
  return ~fold(~sum, bytes, length);
}

static napi_value crc32(napi_env env, napi_callback_info info) {
  napi_value args[2];
  bridge_args(env, info, 2, args);
  void *bytes;
  size_t length;
  napi_typedarray_type type;
  if (napi_get_typedarray_info(env, args[0], &type, &length, &bytes, NULL, NULL) != napi_ok || type != napi_uint8_array) {
    return bridge_throw(env, EINVAL, "the sum of something that is no array of bytes");
  }
  return bridge_of_number(env, crc_of((uint32_t)bridge_number(env, args[1]), bytes, length));
}

void crc_exports(napi_env env, napi_value exports) { EXPORT(env, exports, "crc32", crc32); }
