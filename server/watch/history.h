/* history - the most recent requests, for /debug/requests.
 *
 * A ring of fixed size: no allocation after history_create. Threads: the loop thread. */
#ifndef SERVER_HISTORY_H
#define SERVER_HISTORY_H

#include "server/http/exchange.h"

enum { HISTORY_SIZE = 1000 };

struct history_entry {
    char id[EXCHANGE_ID_MAX + 1];
    const char *route, *error_code, *cancel_reason; /* literals */
    struct timings timings;
    int status;
    uint64_t number, began_us, recv_us, total_us;
};
struct history;

MUST_USE enum err history_create(struct history **out);
void history_destroy(struct history *h);
void history_add(struct history *h, const struct exchange *x, uint64_t now_us);
/* Newest first: i = 0, 1, ...; NULL beyond the oldest. */
const struct history_entry *history_get(const struct history *h, int i);

#endif
