/* wheel - a timing wheel: one due time for each of very many entries.
 *
 * Setting and removing are O(1); a check makes one pass over the slots that fell due since the last one and, once per
 * turn of the wheel (WHEEL_SLOTS * WHEEL_STEP_US, 25.6 s), over entries further ahead. Times are exact to one step.
 *
 * Ownership: entries are members of the caller's structs. Threads: one. Errors: none; allocates nothing. */
#ifndef SERVER_WHEEL_H
#define SERVER_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

enum { WHEEL_SLOTS = 512, WHEEL_STEP_US = 50000 };

struct wheel_entry {
    struct wheel_entry *_previous, *_next; /* NULL: not in a wheel */
    uint64_t _due_us;
};

struct wheel {
    struct wheel_entry _slots[WHEEL_SLOTS]; /* heads of circular lists */
    uint64_t _step;                         /* checked up to, but not including, this step */
};

void wheel_init(struct wheel *w, uint64_t now_us);
/* Replaces an earlier time. UINT64_MAX: never. */
void wheel_set(struct wheel *w, struct wheel_entry *e, uint64_t due_us);
uint64_t wheel_due(const struct wheel_entry *e); /* UINT64_MAX: in no wheel */
void wheel_remove(struct wheel_entry *e);        /* also fine when it is in none */
/* Removes and returns one that is due; NULL: none. Call until NULL. */
struct wheel_entry *wheel_pop_due(struct wheel *w, uint64_t now_us);

#endif
