/* match_sieve for vectors of one width, which whoever includes this has named: the widths differ in nothing else.
 *
 * SIEVE is the function, TARGET what the processor must have, VECTOR of LANES numbers of 32 bits, V(name) an intrinsic;
 * BESIDE, ADD_PRODUCTS and GREATER are those that are called otherwise for each width.
 */
#define JOINED(one, other) one##_##other
#define OF(sieve, name) JOINED(sieve, name)
#define WIDEN OF(SIEVE, widen)
#define PRODUCTS OF(SIEVE, products)

#define PAIRS (COORDINATES / 2)
#define AHEAD (2 * COORDINATES * TILE)
#define TOGETHER 4

/* Coordinates of a tile in pairs. */
TARGET static void WIDEN(const int8_t *tile, VECTOR wide[PAIRS][TILE / LANES])
{
    for (int pair = 0; pair < PAIRS; pair++)
        for (int row = 0; row < TILE; row += LANES) {
            const int8_t *first = tile + 2 * pair * TILE + row;
            __builtin_prefetch(first + AHEAD);
            __builtin_prefetch(first + AHEAD + TILE);
            wide[pair][row / LANES] = BESIDE(first, first + TILE);
        }
}

/* Dot products of `many` views with two vectors of rows; inlined with `many` known, so that the sums stay in registers. */
TARGET static inline __attribute__((always_inline)) void PRODUCTS(const int32_t *weights, int many,
                                                                  const VECTOR wide[PAIRS][TILE / LANES], int at,
                                                                  VECTOR dots[TOGETHER][2])
{
    for (int view = 0; view < many; view++)
        dots[view][0] = dots[view][1] = V(set1_epi32)(0);
    for (int pair = 0; pair < PAIRS; pair++)
        for (int view = 0; view < many; view++) {
            VECTOR weight = V(set1_epi32)(weights[view * PAIRS + pair]);
            for (int half = 0; half < 2; half++)
                dots[view][half] = ADD_PRODUCTS(dots[view][half], weight, wide[pair][at + half]);
        }
}

TARGET int64_t SIEVE(const int16_t *weights, int64_t views, int32_t least, int32_t rest, const int8_t *tiles, int64_t count,
                     int32_t *rows, int32_t *views_of)
{
    VECTOR wide[PAIRS][TILE / LANES];
    int64_t found = 0;
    const VECTOR most_below = V(set1_epi32)(least - 1), each = V(set1_epi32)(rest);
    for (int64_t start = 0; start < count; start += TILE, tiles += COORDINATES * TILE) {
        WIDEN(tiles, wide);
        for (int64_t view = 0; view < views; view += TOGETHER) {
            int many = views - view < TOGETHER ? (int)(views - view) : TOGETHER;
            int32_t pairs[TOGETHER * PAIRS];
            memcpy(pairs, weights + view * COORDINATES, many * COORDINATES * sizeof *weights);
            for (int at = 0; at < TILE / LANES; at += 2) {
                VECTOR dots[TOGETHER][2];
                switch (many) {
                case 1: PRODUCTS(pairs, 1, wide, at, dots); break;
                case 2: PRODUCTS(pairs, 2, wide, at, dots); break;
                case 3: PRODUCTS(pairs, 3, wide, at, dots); break;
                default: PRODUCTS(pairs, 4, wide, at, dots);
                }
                for (int half = 0; half < 2; half++) {
                    VECTOR left_out = V(srai_epi32)(wide[PAIRS - 1][at + half], 16);
                    VECTOR below = V(sub_epi32)(most_below, V(mullo_epi32)(each, left_out));
                    for (int i = 0; i < many; i++)
                        for (unsigned bits = GREATER(V(abs_epi32)(dots[i][half]), below); bits; bits &= bits - 1) {
                            int64_t row = (at + half) * LANES + __builtin_ctz(bits);
                            if (start + row < count)
                                FOUND(start + row, view + i);
                        }
                }
            }
        }
    }
    return found;
}

#undef SIEVE
#undef TARGET
#undef LANES
#undef VECTOR
#undef V
#undef BESIDE
#undef ADD_PRODUCTS
#undef GREATER
#undef JOINED
#undef OF
#undef WIDEN
#undef PRODUCTS
#undef PAIRS
#undef AHEAD
#undef TOGETHER
