/* bind_filter8 - the depthwise filter of a block in whole numbers, where the block runs in bytes: its products are in 8
 * bits, nothing lies between filter and products, and ReLU6 bounds both maps between them. Private to bind.
 *
 * Ownership, threads, errors: as in bind_kinds.h. */
#ifndef ENGINE_MODEL_BIND_FILTER8_H
#define ENGINE_MODEL_BIND_FILTER8_H

#include "engine/model/load/bind_kinds.h"

/* After the tables of a block with ReLU6 and without squeeze-excite. */
void bind_filter8(struct binder *b, struct bind_block *block);

#endif
