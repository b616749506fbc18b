#include "server/http/wheel.h"

#include <stddef.h>

void wheel_init(struct wheel *w, uint64_t now_us)
{
    for (int i = 0; i < WHEEL_SLOTS; i++) {
        w->slots[i].previous = w->slots[i].next = &w->slots[i];
    }
    w->step = now_us / WHEEL_STEP_US;
}

void wheel_remove(struct wheel_entry *e)
{
    if (e->next) {
        e->previous->next = e->next;
        e->next->previous = e->previous;
        e->previous = e->next = NULL;
    }
}

void wheel_set(struct wheel *w, struct wheel_entry *e, uint64_t due_us)
{
    /* The step after the time, so that nothing comes early; never one that was looked at already. */
    uint64_t step = due_us / WHEEL_STEP_US + 1;
    wheel_remove(e);
    e->due_us = due_us;
    if (due_us == UINT64_MAX) {
        return;
    }
    struct wheel_entry *slot = &w->slots[(step < w->step ? w->step : step) % WHEEL_SLOTS];
    e->previous = slot->previous;
    e->next = slot;
    e->previous->next = e->next->previous = e;
}

struct wheel_entry *wheel_pop_due(struct wheel *w, uint64_t now_us)
{
    uint64_t now = now_us / WHEEL_STEP_US;
    if (now >= w->step + WHEEL_SLOTS) { /* slept for more than a turn: one whole turn sees all */
        w->step = now - WHEEL_SLOTS + 1;
    }
    for (; w->step <= now; w->step++) {
        struct wheel_entry *slot = &w->slots[w->step % WHEEL_SLOTS];
        for (struct wheel_entry *e = slot->next; e != slot; e = e->next) {
            if (e->due_us <= now_us) {
                wheel_remove(e);
                return e;
            }
        }
    }
    return NULL;
}
