/* The inner loops of a search (which rows may be near which views, see sketch.py, and how near those are), and of a
 * signature (see grid.py).
 *
 * A dot product of int8 sketches with int16 weights in int32 does not overflow, since both are of vectors no
 * longer than 1 by far less than a tenth. Two coordinates of eight or sixteen rows are one instruction (sieve.h).
 * Sketches lie in tiles, all of 128 rows together, so that they are read from one end of memory to the other.
 */
#include <stdint.h>
#include <string.h>

enum { COORDINATES = 64, TILE = 128, PLANE = 34, HALF = 3 * PLANE, SOON = 16 };
/* Columns in one go, whole pixels of them, and the most bytes whose sum fits 16 bits. */
enum { SPANS = 9, WIDE = 384, TALL = 257 };

/* Tell of row and view, and forget nothing: room is for every pair there is. */
#define FOUND(row, view) (rows[found] = (int32_t)(row), views_of[found] = (int32_t)(view), found++)

/* match_sieve for any processor; compilers make vectors of its inner loop. */
int64_t match_sieve_portable(const int16_t *weights, int64_t views, int32_t least, int32_t rest, const int8_t *tiles,
                             int64_t count, int32_t *rows, int32_t *views_of)
{
    int64_t found = 0;
    for (int64_t start = 0; start < count; start += TILE, tiles += COORDINATES * TILE) {
        const int8_t *left_out = tiles + (COORDINATES - 1) * TILE;
        for (int64_t view = 0; view < views; view++) {
            int32_t dots[TILE] = {0};
            for (int k = 0; k < COORDINATES; k++) {
                int32_t weight = weights[view * COORDINATES + k];
                for (int row = 0; row < TILE; row++)
                    dots[row] += weight * tiles[k * TILE + row];
            }
            for (int row = 0; row < TILE && start + row < count; row++)
                if ((dots[row] < 0 ? -dots[row] : dots[row]) >= least - rest * left_out[row])
                    FOUND(start + row, view);
        }
    }
    return found;
}

/* Dot product of two packed halves: with x = both nonzero, y = x and either two, b = both two, and of these those of
 * unlike sign, |x| + |y| + 2 |b| - 2 (|x'| + |y'| + 2 |b'|). */
static inline __attribute__((always_inline)) int dot(const uint8_t *one, const uint8_t *other)
{
    int sum = 0;
    for (int at = 0; at < PLANE; at += 8) {
        uint64_t a[3] = {0}, b[3] = {0};
        for (int plane = 0; plane < 3; plane++) {
            int bytes = PLANE - at < 8 ? PLANE - at : 8;
            memcpy(&a[plane], one + plane * PLANE + at, bytes);
            memcpy(&b[plane], other + plane * PLANE + at, bytes);
        }
        uint64_t unlike = a[2] ^ b[2], x = a[0] & b[0], y = x & (a[1] | b[1]), two = a[1] & b[1];
        sum += __builtin_popcountll(x) + __builtin_popcountll(y) + 2 * __builtin_popcountll(two);
        sum -= 2 * (__builtin_popcountll(x & unlike) + __builtin_popcountll(y & unlike));
        sum -= 4 * __builtin_popcountll(two & unlike);
    }
    return sum;
}

static inline __attribute__((always_inline)) void all_dots(const uint8_t *halves, const uint8_t *queries, const int32_t *rows,
                                                           const int32_t *views_of, int64_t count, int16_t *dots)
{
    for (int64_t i = 0; i < count; i++) {
        if (i + SOON < count)
            for (int byte = 0; byte < HALF; byte += 64)
                __builtin_prefetch(halves + (int64_t)rows[i + SOON] * HALF + byte);
        dots[i] = (int16_t)dot(halves + (int64_t)rows[i] * HALF, queries + (int64_t)views_of[i] * HALF);
    }
}

void match_dots_portable(const uint8_t *halves, const uint8_t *queries, const int32_t *rows, const int32_t *views_of,
                         int64_t count, int16_t *dots)
{
    all_dots(halves, queries, rows, views_of, count, dots);
}

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

/* Coordinates k and k + 1 of so many rows as there are lanes, side by side in 16 bits. */
__attribute__((target("avx2"))) static inline __m256i beside_8(const int8_t *first, const int8_t *second)
{
    return _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(_mm_loadl_epi64((const __m128i *)first), _mm_loadl_epi64((const __m128i *)second)));
}

__attribute__((target("avx512f,avx512bw"))) static inline __m512i beside_16(const int8_t *first, const int8_t *second)
{
    __m128i x = _mm_loadu_si128((const __m128i *)first), y = _mm_loadu_si128((const __m128i *)second);
    return _mm512_cvtepi8_epi16(_mm256_set_m128i(_mm_unpackhi_epi8(x, y), _mm_unpacklo_epi8(x, y)));
}

#define SIEVE match_sieve_avx2
#define TARGET __attribute__((target("avx2")))
#define LANES 8
#define VECTOR __m256i
#define V(name) _mm256_##name
#define BESIDE beside_8
#define ADD_PRODUCTS(sums, a, b) _mm256_add_epi32(sums, _mm256_madd_epi16(a, b))
#define GREATER(a, b) ((unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(a, b))))
#include "sieve.h"

#define SIEVE match_sieve_avx512
#define TARGET __attribute__((target("avx512f,avx512bw,avx512vnni")))
#define LANES 16
#define VECTOR __m512i
#define V(name) _mm512_##name
#define BESIDE beside_16
#define ADD_PRODUCTS(sums, a, b) _mm512_dpwssd_epi32(sums, a, b)
#define GREATER(a, b) ((unsigned)_mm512_cmpgt_epi32_mask(a, b))
#include "sieve.h"

__attribute__((target("popcnt"))) void match_dots_avx2(const uint8_t *halves, const uint8_t *queries, const int32_t *rows,
                                                       const int32_t *views_of, int64_t count, int16_t *dots)
{
    all_dots(halves, queries, rows, views_of, count, dots);
}
#endif

/* Pairs found of `count` rows, in tiles (t, 64, 128), and `views` of `weights` (views, 64): those whose |dot product| is
 * at least `least` minus `rest` times the row's last coordinate. */
int64_t match_sieve(const int16_t *weights, int64_t views, int32_t least, int32_t rest, const int8_t *tiles, int64_t count,
                    int32_t *rows, int32_t *views_of)
{
#if defined(__x86_64__) && defined(__GNUC__)
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vnni"))
        return match_sieve_avx512(weights, views, least, rest, tiles, count, rows, views_of);
    if (__builtin_cpu_supports("avx2"))
        return match_sieve_avx2(weights, views, least, rest, tiles, count, rows, views_of);
#endif
    return match_sieve_portable(weights, views, least, rest, tiles, count, rows, views_of);
}

/* Dot products of `count` pairs of rows of `halves` (n, 102) and of `queries` (views, 102). */
void match_dots(const uint8_t *halves, const uint8_t *queries, const int32_t *rows, const int32_t *views_of, int64_t count,
                int16_t *dots)
{
#if defined(__x86_64__) && defined(__GNUC__)
    if (__builtin_cpu_supports("popcnt")) {
        match_dots_avx2(halves, queries, rows, views_of, count, dots);
        return;
    }
#endif
    match_dots_portable(halves, queries, rows, views_of, count, dots);
}

/* Sums (9, 9, 3) of RGB pixels over the crossings of 9 spans of rows and 9 of columns, each from and up to; `stride` bytes
 * lie between rows. */
void match_boxes(const uint8_t *pixels, int64_t stride, const int64_t *rows, const int64_t *columns, uint32_t *sums)
{
    for (int box = 0; box < SPANS * SPANS; box++, sums += 3) {
        const int64_t *down = rows + box / SPANS * 2, *across = columns + box % SPANS * 2;
        sums[0] = sums[1] = sums[2] = 0;
        for (int64_t left = 3 * across[0]; left < 3 * across[1]; left += WIDE)
            for (int64_t top = down[0]; top < down[1]; top += TALL) {
                int width = (int)(3 * across[1] - left < WIDE ? 3 * across[1] - left : WIDE);
                int64_t bottom = down[1] - top < TALL ? down[1] : top + TALL;
                uint16_t column[WIDE] = {0};
                for (int64_t row = top; row < bottom; row++) {
                    const uint8_t *line = pixels + row * stride + left;
                    for (int k = 0; k < width; k++)
                        column[k] += line[k];
                }
                for (int k = 0; k < width; k += 3)
                    for (int colour = 0; colour < 3; colour++)
                        sums[colour] += column[k + colour];
            }
    }
}
