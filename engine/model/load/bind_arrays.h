/* bind_arrays - the part of a bind that follows from config.json alone; private to bind.
 *
 * Allocates the blocks, cells and layers of `b` as one array (b->_arrays, the caller frees it) and sets in them what
 * needs no weights: channels, kernels, strides, taps, numbers of inputs. Threads: as bind. Errors: ERR_NOMEM. */
#ifndef ENGINE_MODEL_BIND_ARRAYS_H
#define ENGINE_MODEL_BIND_ARRAYS_H

#include "engine/model/load/bind.h"

MUST_USE enum err bind_make_arrays(struct bind *b, const struct model_config *c);

#endif
