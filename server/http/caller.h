/* caller - who sent a request: decides its share of a busy service and its name space of image ids.
 *
 * Plain data. Threads: pure functions. */
#ifndef SERVER_HTTP_CALLER_H
#define SERVER_HTTP_CALLER_H

#include <stdbool.h>
#include <stdint.h>

struct auth_use; /* of gate/auth.h */

struct caller {
    char key[64];                    /* the name of its API key; "": none */
    struct auth_use *use;            /* until the exchange ends; NULL: nothing to give back */
    uint64_t client;                 /* a number for the key's name, or for the address without keys */
    uint8_t id_key[32], id_mask[32]; /* of image ids, one name space for each API key */
    bool has_id_key;
};

/* Converts an image id of the engine to the one this caller sees, and back: another caller's id finds nothing. */
void caller_mask_id(const struct caller *c, uint8_t id[32]);

#endif
