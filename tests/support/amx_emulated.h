/* amx_emulated - the instructions that gemm8_amx.inc uses, in plain C, for CPUs without AMX. Every tile has 16 rows of
 * 64 bytes; using one that is not configured is a fault. Threads: one. */
#ifndef TESTS_SUPPORT_AMX_EMULATED_H
#define TESTS_SUPPORT_AMX_EMULATED_H

#include "engine/base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { AMX_TILES = 8, AMX_TILE_ROWS = 16, AMX_TILE_BYTES = 64 };

union amx_tile {
    uint8_t bytes[AMX_TILE_ROWS][AMX_TILE_BYTES];
    int8_t whole[AMX_TILE_ROWS][AMX_TILE_BYTES];
    int32_t sums[AMX_TILE_ROWS][AMX_TILE_BYTES / 4];
};
static union amx_tile amx_tiles[AMX_TILES];
static bool amx_is_configured;
static unsigned amx_dots; /* so far */

/* The layout that LDTILECFG reads: palette, first row, bytes of each row from 16 on, rows from 48 on. */
static void amx_configure(const uint8_t config[64])
{
    BUG_ON(config[0] != 1 || config[1] != 0);
    for (int i = 0; i < AMX_TILES; i++) {
        BUG_ON(config[16 + 2 * i] != AMX_TILE_BYTES || config[17 + 2 * i] != 0 || config[48 + i] != AMX_TILE_ROWS);
        BUG_ON(config[32 + 2 * i] != 0 || config[33 + 2 * i] != 0 || config[56 + i] != 0); /* there are but eight */
    }
    memset(amx_tiles, 0x55, sizeof(amx_tiles)); /* worse than the zeros of the CPU */
    amx_is_configured = true;
}

static void amx_release(void)
{
    amx_is_configured = false;
}

static void amx_move(int tile, char *p, size_t stride, bool is_store)
{
    BUG_ON(!amx_is_configured);
    for (size_t r = 0; r < AMX_TILE_ROWS; r++) {
        if (is_store) {
            memcpy(p + r * stride, amx_tiles[tile].bytes[r], AMX_TILE_BYTES);
        } else {
            memcpy(amx_tiles[tile].bytes[r], p + r * stride, AMX_TILE_BYTES);
        }
    }
}

static void amx_dot(union amx_tile *c, const union amx_tile *a, const union amx_tile *b)
{
    BUG_ON(!amx_is_configured);
    for (int m = 0; m < AMX_TILE_ROWS; m++) {
        for (int k = 0; k < AMX_TILE_BYTES; k++) {
            for (int n = 0; n < AMX_TILE_BYTES / 4; n++) {
                c->sums[m][n] += a->bytes[m][k] * b->whole[k / 4][4 * n + k % 4];
            }
        }
    }
    amx_dots++;
}

#define AMX_CONFIGURE(config)      amx_configure((const uint8_t *)(config))
#define AMX_RELEASE()              amx_release()
#define AMX_ZERO(tile)             memset(&amx_tiles[tile], 0, sizeof(amx_tiles[tile]))
#define AMX_LOAD(tile, p, stride)  amx_move(tile, (char *)(p), stride, false)
#define AMX_STORE(tile, p, stride) amx_move(tile, (char *)(p), stride, true)
#define AMX_DOT(sums, a, b)        amx_dot(&amx_tiles[sums], &amx_tiles[a], &amx_tiles[b])

#endif
