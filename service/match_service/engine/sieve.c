/* The inner loop of the sieve (see sketch.py): which rows may be near which views.
 *
 * A dot product of int8 sketches with int16 weights in int32 does not overflow, since both are of vectors no
 * longer than 1 by far less than a tenth. Two coordinates of eight rows are one vpmaddwd.
 */
#include <stdint.h>
#include <string.h>

enum { COORDINATES = 64, TILE = 128 };

/* Tell of row and view, and forget nothing: room is for every pair there is. */
#define FOUND(row, view) (rows[found] = (int32_t)(row), views_of[found] = (int32_t)(view), found++)

/* A tile's columns: where they lie, or a copy padded by zeros where fewer than TILE rows are left. */
static const int8_t *tile(const int8_t *from, int64_t stride, int64_t here, int8_t *copy, int64_t *step)
{
    *step = stride;
    if (here == TILE)
        return from;
    memset(copy, 0, COORDINATES * TILE);
    for (int k = 0; k < COORDINATES; k++)
        memcpy(copy + k * TILE, from + k * stride, here);
    *step = TILE;
    return copy;
}

/* match_sieve for any processor; compilers make vectors of its inner loop. */
int64_t match_sieve_portable(const int16_t *weights, int64_t views, int32_t least, int32_t rest, const int8_t *sketches,
                             int64_t stride, int64_t count, int32_t *rows, int32_t *views_of)
{
    int8_t copy[COORDINATES * TILE];
    int64_t found = 0, step;
    for (int64_t start = 0; start < count; start += TILE) {
        int64_t here = count - start < TILE ? count - start : TILE;
        const int8_t *from = tile(sketches + start, stride, here, copy, &step);
        const int8_t *left_out = from + (COORDINATES - 1) * step;
        for (int64_t view = 0; view < views; view++) {
            int32_t dots[TILE] = {0};
            for (int k = 0; k < COORDINATES; k++) {
                int32_t weight = weights[view * COORDINATES + k];
                const int8_t *column = from + k * step;
                for (int row = 0; row < TILE; row++)
                    dots[row] += weight * column[row];
            }
            for (int row = 0; row < here; row++)
                if ((dots[row] < 0 ? -dots[row] : dots[row]) >= least - rest * left_out[row])
                    FOUND(start + row, view);
        }
    }
    return found;
}

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))
enum { LANES = 8, PAIRS = COORDINATES / 2, AHEAD = 512, TOGETHER = 4 };

/* Coordinates of a tile in pairs, eight rows to a vector. */
typedef __m256i Wide[PAIRS][TILE / LANES];

AVX2 static void widen(const int8_t *from, int64_t step, Wide wide)
{
    for (int pair = 0; pair < PAIRS; pair++) {
        const int8_t *first = from + 2 * pair * step, *second = first + step;
        /* So many columns are more than the processor follows by itself. */
        for (int row = 0; row < TILE; row += 64) {
            __builtin_prefetch(first + AHEAD + row);
            __builtin_prefetch(second + AHEAD + row);
        }
        for (int row = 0; row < TILE; row += 2 * LANES) {
            __m128i x = _mm_loadu_si128((const __m128i *)(first + row));
            __m128i y = _mm_loadu_si128((const __m128i *)(second + row));
            wide[pair][row / LANES] = _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(x, y));
            wide[pair][row / LANES + 1] = _mm256_cvtepi8_epi16(_mm_unpackhi_epi8(x, y));
        }
    }
}

/* Dot products of `many` views with 16 rows; inlined with `many` known, so that the sums stay in registers. */
AVX2 static inline __attribute__((always_inline)) void products(const int32_t *weights, int many, const Wide wide, int at,
                                                                __m256i dots[TOGETHER][2])
{
    for (int view = 0; view < many; view++)
        dots[view][0] = dots[view][1] = _mm256_setzero_si256();
    for (int pair = 0; pair < PAIRS; pair++)
        for (int view = 0; view < many; view++) {
            __m256i weight = _mm256_set1_epi32(weights[view * PAIRS + pair]);
            for (int half = 0; half < 2; half++)
                dots[view][half] = _mm256_add_epi32(dots[view][half], _mm256_madd_epi16(weight, wide[pair][at + half]));
        }
}

AVX2 static int64_t avx2(const int16_t *weights, int64_t views, int32_t least, int32_t rest, const int8_t *sketches,
                         int64_t stride, int64_t count, int32_t *rows, int32_t *views_of)
{
    Wide wide;
    int8_t copy[COORDINATES * TILE];
    int64_t found = 0, step;
    const __m256i most_below = _mm256_set1_epi32(least - 1), each = _mm256_set1_epi32(rest);
    for (int64_t start = 0; start < count; start += TILE) {
        int64_t here = count - start < TILE ? count - start : TILE;
        const int8_t *from = tile(sketches + start, stride, here, copy, &step);
        widen(from, step, wide);
        for (int64_t view = 0; view < views; view += TOGETHER) {
            int many = views - view < TOGETHER ? (int)(views - view) : TOGETHER;
            int32_t pairs[TOGETHER * PAIRS];
            memcpy(pairs, weights + view * COORDINATES, many * COORDINATES * sizeof *weights);
            for (int at = 0; at < TILE / LANES; at += 2) {
                __m256i dots[TOGETHER][2];
                switch (many) {
                case 1: products(pairs, 1, wide, at, dots); break;
                case 2: products(pairs, 2, wide, at, dots); break;
                case 3: products(pairs, 3, wide, at, dots); break;
                default: products(pairs, 4, wide, at, dots);
                }
                for (int half = 0; half < 2; half++) {
                    __m256i left_out = _mm256_srai_epi32(wide[PAIRS - 1][at + half], 16);
                    __m256i below = _mm256_sub_epi32(most_below, _mm256_mullo_epi32(each, left_out));
                    for (int i = 0; i < many; i++) {
                        __m256i near = _mm256_cmpgt_epi32(_mm256_abs_epi32(dots[i][half]), below);
                        unsigned bits = (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(near));
                        for (; bits; bits &= bits - 1) {
                            int64_t row = (at + half) * LANES + __builtin_ctz(bits);
                            if (row < here)
                                FOUND(start + row, view + i);
                        }
                    }
                }
            }
        }
    }
    return found;
}
#endif

/* Pairs found of `count` rows of `sketches` (64, stride) and `views` of `weights` (views, 64): those whose
 * |dot product| is at least `least` minus `rest` times the row's last coordinate. */
int64_t match_sieve(const int16_t *weights, int64_t views, int32_t least, int32_t rest, const int8_t *sketches,
                    int64_t stride, int64_t count, int32_t *rows, int32_t *views_of)
{
#if defined(__x86_64__) && defined(__GNUC__)
    if (__builtin_cpu_supports("avx2"))
        return avx2(weights, views, least, rest, sketches, stride, count, rows, views_of);
#endif
    return match_sieve_portable(weights, views, least, rest, sketches, stride, count, rows, views_of);
}
