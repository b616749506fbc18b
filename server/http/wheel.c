#include "server/http/wheel.h"

#include <stddef.h>

void wheel_init(struct wheel *w, uint64_t now_us)
{
    for (int i = 0; i < WHEEL_SLOTS; i++) {
        w->_slots[i]._previous = w->_slots[i]._next = &w->_slots[i];
    }
    w->_step = now_us / WHEEL_STEP_US;
}

void wheel_remove(struct wheel_entry *e)
{
    if (e->_next) {
        e->_previous->_next = e->_next;
        e->_next->_previous = e->_previous;
        e->_previous = e->_next = NULL;
    }
}

void wheel_set(struct wheel *w, struct wheel_entry *e, uint64_t due_us)
{
    /* The step after the time, so that nothing comes early; never one that was looked at already. */
    uint64_t step = due_us / WHEEL_STEP_US + 1;
    wheel_remove(e);
    e->_due_us = due_us;
    if (due_us == UINT64_MAX) {
        return;
    }
    struct wheel_entry *slot = &w->_slots[(step < w->_step ? w->_step : step) % WHEEL_SLOTS];
    e->_previous = slot->_previous;
    e->_next = slot;
    e->_previous->_next = e->_next->_previous = e;
}

uint64_t wheel_due(const struct wheel_entry *e)
{
    return e->_next ? e->_due_us : UINT64_MAX;
}

struct wheel_entry *wheel_pop_due(struct wheel *w, uint64_t now_us)
{
    uint64_t now = now_us / WHEEL_STEP_US;
    if (now >= w->_step + WHEEL_SLOTS) { /* slept for more than a turn: one whole turn sees all */
        w->_step = now - WHEEL_SLOTS + 1;
    }
    for (; w->_step <= now; w->_step++) {
        struct wheel_entry *slot = &w->_slots[w->_step % WHEEL_SLOTS];
        for (struct wheel_entry *e = slot->_next; e != slot; e = e->_next) {
            if (e->_due_us <= now_us) {
                wheel_remove(e);
                return e;
            }
        }
    }
    return NULL;
}
