/* The inner loops of a search (which rows may be near which views, see sketch.py, and how near those are), and of a
 * signature (see grid.py).
 *
 * A dot product of int8 sketches with int16 weights in int32 does not overflow, since both are of vectors no
 * longer than 1 by far less than a tenth. Two coordinates of eight rows are one vpmaddwd. Sketches lie in
 * tiles, all of 128 rows together, so that they are read from one end of memory to the other.
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

#define AVX2 __attribute__((target("avx2")))
enum { LANES = 8, PAIRS = COORDINATES / 2, AHEAD = 2 * COORDINATES * TILE, TOGETHER = 4 };

/* Coordinates of a tile in pairs, eight rows to a vector. */
typedef __m256i Wide[PAIRS][TILE / LANES];

AVX2 static void widen(const int8_t *tile, Wide wide)
{
    for (int pair = 0; pair < PAIRS; pair++)
        for (int row = 0; row < TILE; row += 2 * LANES) {
            const int8_t *first = tile + 2 * pair * TILE + row;
            __m128i x = _mm_loadu_si128((const __m128i *)first);
            __m128i y = _mm_loadu_si128((const __m128i *)(first + TILE));
            __builtin_prefetch(first + AHEAD);
            __builtin_prefetch(first + AHEAD + TILE);
            wide[pair][row / LANES] = _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(x, y));
            wide[pair][row / LANES + 1] = _mm256_cvtepi8_epi16(_mm_unpackhi_epi8(x, y));
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

AVX2 static int64_t avx2(const int16_t *weights, int64_t views, int32_t least, int32_t rest, const int8_t *tiles,
                         int64_t count, int32_t *rows, int32_t *views_of)
{
    Wide wide;
    int64_t found = 0;
    const __m256i most_below = _mm256_set1_epi32(least - 1), each = _mm256_set1_epi32(rest);
    for (int64_t start = 0; start < count; start += TILE, tiles += COORDINATES * TILE) {
        widen(tiles, wide);
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
                            if (start + row < count)
                                FOUND(start + row, view + i);
                        }
                    }
                }
            }
        }
    }
    return found;
}

__attribute__((target("popcnt"))) static void popcnt(const uint8_t *halves, const uint8_t *queries, const int32_t *rows,
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
    if (__builtin_cpu_supports("avx2"))
        return avx2(weights, views, least, rest, tiles, count, rows, views_of);
#endif
    return match_sieve_portable(weights, views, least, rest, tiles, count, rows, views_of);
}

/* Dot products of `count` pairs of rows of `halves` (n, 102) and of `queries` (views, 102). */
void match_dots(const uint8_t *halves, const uint8_t *queries, const int32_t *rows, const int32_t *views_of, int64_t count,
                int16_t *dots)
{
#if defined(__x86_64__) && defined(__GNUC__)
    if (__builtin_cpu_supports("popcnt")) {
        popcnt(halves, queries, rows, views_of, count, dots);
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
