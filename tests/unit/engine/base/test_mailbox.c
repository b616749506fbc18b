/* Items come back in the order of putting, each once, however many threads put them. */
#include "engine/base/mailbox.h"

#include "engine/base/thread.h"
#include "tests/support/check.h"

enum { THREADS = 4, EACH = 2000 };

struct letter {
    struct mailbox_item item;
    int sender, number;
};

static struct mailbox box;
static struct letter letters[THREADS][EACH];

static void test_order(void)
{
    static struct letter three[3];
    mailbox_init(&box);
    CHECK(mailbox_take(&box) == NULL);
    for (int i = 0; i < 3; i++) {
        mailbox_put(&box, &three[i].item);
    }
    struct mailbox_item *first = mailbox_take(&box);
    CHECK(first == &three[0].item && first->next == &three[1].item && first->next->next == &three[2].item);
    CHECK(three[2].item.next == NULL);
    CHECK(mailbox_take(&box) == NULL);
    mailbox_put(&box, &three[1].item); /* again, with a stale next */
    first = mailbox_wait(&box);        /* does not wait: there is one */
    CHECK(first == &three[1].item && first->next == NULL);
    mailbox_release(&box);
}

static void *send(void *user)
{
    struct letter *mine = user;
    for (int i = 0; i < EACH; i++) {
        mailbox_put(&box, &mine[i].item);
    }
    return NULL;
}

static void test_threads(void)
{
    pthread_t threads[THREADS];
    int n = 0, seen[THREADS] = {0};
    mailbox_init(&box);
    for (int t = 0; t < THREADS; t++) {
        for (int i = 0; i < EACH; i++) {
            letters[t][i] = (struct letter){.sender = t, .number = i};
        }
        CHECK_INT(thread_start(&threads[t], "sender", send, letters[t]), OK);
    }
    while (n < THREADS * EACH) {
        struct mailbox_item *item = mailbox_wait(&box);
        CHECK(item != NULL);
        for (; item; item = item->next, n++) {
            const struct letter *l = (const struct letter *)item;
            CHECK(seen[l->sender] == l->number); /* of one sender: in order, none twice */
            seen[l->sender]++;
        }
    }
    CHECK(mailbox_take(&box) == NULL);
    for (int t = 0; t < THREADS; t++) {
        thread_join(threads[t]);
    }
    mailbox_release(&box);
}

int main(void)
{
    test_order();
    test_threads();
    return check_result();
}
