#include "server/http/caller.h"

void caller_mask_id(const struct caller *c, uint8_t id[32])
{
    for (int i = 0; i < 32 && c->has_id_key; i++) {
        id[i] ^= c->id_mask[i];
    }
}
