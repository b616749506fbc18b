/* Places of a plan: aligned, as on a stack, never beyond the peak; steps run in order; strips fit what is taken. */
#include "engine/model/plan.h"

#include "tests/support/check.h"

static int ran[8], n_ran;

static void note(const struct plan_step *s, const struct plan_run *r)
{
    (void)r;
    ran[n_ran++] = s->strip;
}

static void test_places(void)
{
    struct plan p;
    struct plan_step steps[1];
    plan_init(&p, steps, 1);
    CHECK_INT(plan_take(&p, 3), 0);
    size_t mark = p.top;
    CHECK_INT(mark, 16); /* 64 bytes */
    struct plan_map m = plan_map(&p, 3, 5, 7);
    CHECK_INT(m.at, 16);
    CHECK_INT(plan_floats(m), 105);
    CHECK_INT(p.top, 16 + 112);
    CHECK_INT(plan_take(&p, 0), 128);
    CHECK_INT(p.top, 128);
    plan_release(&p, mark);
    CHECK_INT(plan_take(&p, 20), 16);
    CHECK_INT(p.peak, 128);
    CHECK_INT(plan_take(&p, 1000), 48);
    CHECK_INT(p.peak, 48 + 1008);
}

static void test_steps(void)
{
    struct plan p;
    struct plan_step steps[4];
    struct plan_run run = {NULL, NULL, NULL};
    plan_init(&p, steps, 4);
    for (int i = 0; i < 4; i++) {
        struct plan_step *s = plan_add(&p, "note", note);
        CHECK(s == &steps[i] && s->gemm == NULL && s->out.c == 0);
        s->strip = i;
    }
    CHECK_INT(p.n_steps, 4);
    plan_execute(&p, &run, 1, 3);
    plan_execute(&p, &run, 3, 4);
    CHECK_INT(n_ran, 3);
    for (int i = 0; i < n_ran; i++) {
        CHECK_INT(ran[i], i + 1);
    }
    plan_init(&p, steps, 4);
    CHECK_INT(p.n_steps, 0);
}

static void test_strips(void)
{
    static const size_t widths[] = {0, 1, 1000, 40000, 200000};
    size_t before = 0;
    for (int i = 0; i < 5; i++) {
        int rows = plan_strip_rows(widths[i], 3, 50);
        CHECK(rows >= 3 && rows <= 50);
        CHECK((size_t)rows * widths[i] <= plan_strip_floats(widths[i], 3, 50));
        CHECK(plan_strip_floats(widths[i], 3, 50) >= before); /* grows with the row: the largest input is enough */
        before = plan_strip_floats(widths[i], 3, 50);
    }
    CHECK_INT(plan_strip_rows(200000, 3, 50), 3);
    CHECK_INT(plan_strip_rows(1, 3, 50), 50);
}

int main(void)
{
    test_places();
    test_steps();
    test_strips();
    return check_result();
}
