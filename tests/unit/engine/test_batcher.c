#include "engine/batcher.c"

#include "tests/support/check.h"

static const struct batcher_limits limits = {
    .max_rows = 256, .max_items = 96, .max_images = 1, .image_wait_us = 2000, .is_continuous = true};
static const uint64_t never = UINT64_MAX;

/* ---- order ---- */

static void test_line(void)
{
    CHECK_INT(batcher_line_us(1000, 0), 1000);    /* nobody before */
    CHECK_INT(batcher_line_us(1000, 1040), 1040); /* behind its own last one */
    CHECK_INT(batcher_line_us(1000, 900), 1000);  /* which is long past */
    for (int priority = 0; priority <= BATCHER_USUAL; priority++) {
        CHECK_INT(batcher_due_us(1000, priority), 1000); /* nobody passes others by what he says */
    }
    CHECK_INT(batcher_due_us(1000, 7), 1000 + 4 * BATCHER_LEVEL_US);
    CHECK_INT(batcher_rank_us(1000, 0), 1000);
    CHECK_INT(batcher_rank_us(1000, 3), 1000 + 3 * BATCHER_LEVEL_US);
}

/* One client brings 1000 jobs, then another brings one: it stands before all that have not begun, whatever
 * a job really costs. */
static void test_newcomer_meets_long_line(void)
{
    enum { COST = 20000, BEGUN = 50 };
    uint64_t end = 0, line[1000];
    for (int i = 0; i < 1000; i++) {
        line[i] = batcher_line_us(BATCHER_ORIGIN_US, end);
        end = line[i] + COST;
    }
    uint64_t newcomer = batcher_line_us(line[BEGUN], 0);
    int before = 0;
    for (int i = BEGUN + 1; i < 1000; i++) {
        before += line[i] <= newcomer;
    }
    CHECK_INT(before, 0);
    CHECK(line[BEGUN - 1] < newcomer);
}

/* Three clients with long lines are served in turn. */
static void test_clients_in_turn(void)
{
    uint64_t reached = BATCHER_ORIGIN_US, end[3] = {0, 0, 0};
    int served[3] = {0, 0, 0};
    for (int i = 0; i < 300; i++) {
        int first = 0;
        uint64_t line[3];
        for (int c = 0; c < 3; c++) {
            line[c] = batcher_line_us(reached, end[c]);
            first = line[c] < line[first] ? c : first;
        }
        reached = line[first];
        end[first] = line[first] + (first == 2 ? 20000 : 10000); /* the third one's jobs cost twice as much */
        served[first]++;
    }
    CHECK(served[0] >= 119 && served[1] >= 119 && served[2] >= 59);
}

static void test_hurry(void)
{
    CHECK_INT(batcher_hurry_us(1000, 3000), 2000);
    CHECK_INT(batcher_hurry_us(1000, 900), 1000);
    CHECK(batcher_hurry_us(1000, 0) == UINT64_MAX);
    CHECK(3000 < batcher_rank_us(BATCHER_ORIGIN_US, 0)); /* a deadline stands before every other rank */
}

/* A job of the lowest priority is passed by later ones for a time, not for ever: by others and by its client's own. */
static void test_priority_ages(void)
{
    uint64_t due = batcher_due_us(1000000, 7), rank = batcher_rank_us(1000000, 7);
    CHECK(batcher_due_us(1000000 + 3 * BATCHER_LEVEL_US, 3) < due);
    CHECK(batcher_due_us(1000000 + 5 * BATCHER_LEVEL_US, 3) > due);
    CHECK(batcher_rank_us(1000000 + 6 * BATCHER_LEVEL_US, 0) < rank);
    CHECK(batcher_rank_us(1000000 + 8 * BATCHER_LEVEL_US, 0) > rank);
}

/* ---- next step ---- */

static enum batcher_action choose(const struct batcher_limits *l, struct batcher_view v, struct batcher_history *h,
                                  uint64_t now_us)
{
    return batcher_choose(l, &v, h, now_us).action;
}

static void test_one_side(void)
{
    struct batcher_history h = {0};
    struct batcher_view v = {0};
    struct batcher_choice c = batcher_choose(&limits, &v, &h, 5000);
    CHECK_INT(c.action, BATCHER_WAIT);
    CHECK(c.until_us == never);
    v = (struct batcher_view){.images = 3, .oldest_image_us = 5000};
    c = batcher_choose(&limits, &v, &h, 5000);
    CHECK_INT(c.action, BATCHER_IMAGES);
    CHECK_INT(c.n_images, 1);
    v = (struct batcher_view){.items = 1, .rows = 80};
    CHECK_INT(choose(&limits, v, &h, 5000), BATCHER_FUSION);
    CHECK_INT(choose(&limits, v, &h, 5000), BATCHER_FUSION);
}

static void test_image_waits_for_mates(void)
{
    struct batcher_limits l = limits;
    struct batcher_history h = {0};
    l.max_images = 4;
    struct batcher_view v = {.images = 2, .oldest_image_us = 10000, .images_upstream = 1};
    struct batcher_choice c = batcher_choose(&l, &v, &h, 10500);
    CHECK_INT(c.action, BATCHER_WAIT);
    CHECK_INT(c.until_us, 12000);
    c = batcher_choose(&l, &v, &h, 12000); /* long enough */
    CHECK_INT(c.action, BATCHER_IMAGES);
    CHECK_INT(c.n_images, 2);
    v.images_upstream = 0; /* nobody is coming */
    CHECK_INT(choose(&l, v, &h, 10500), BATCHER_IMAGES);
    v.images_upstream = 1;
    v.images = 5; /* enough */
    c = batcher_choose(&l, &v, &h, 10500);
    CHECK_INT(c.action, BATCHER_IMAGES);
    CHECK_INT(c.n_images, 4);
    v.images = 2;
    v.items = 1; /* meanwhile there is something else to do */
    CHECK_INT(choose(&l, v, &h, 10500), BATCHER_FUSION);
}

/* Counts fusion steps in n choices between two sides that always wait. */
static int fusion_share(const struct batcher_limits *l, struct batcher_view v, int n)
{
    struct batcher_history h = {0};
    int fusion = 0;
    for (int i = 0; i < n; i++) {
        fusion += choose(l, v, &h, 100000) == BATCHER_FUSION;
    }
    return fusion;
}

static void test_turns(void)
{
    struct batcher_view v = {
        .images = 5, .oldest_image_us = 1000, .image_priority = 3, .items = 2, .rows = 12, .fusion_priority = 3};
    CHECK_INT(fusion_share(&limits, v, 100), 80); /* four steps an image */
    v.images = 1;
    CHECK_INT(fusion_share(&limits, v, 210), 200); /* a caption to its end */
    v.rows = 33;
    CHECK_INT(fusion_share(&limits, v, 100), 50); /* large steps */
    v.rows = 12;
    v.images = 11;
    CHECK_INT(fusion_share(&limits, v, 100), 50);
    v.images = 100;
    CHECK_INT(fusion_share(&limits, v, 100), 50);
    v.rows = 257; /* more than a step can hold: finish what has begun, but images go on */
    CHECK_INT(fusion_share(&limits, v, 100), 80);
    v.rows = 12;
    v.image_priority = 0;
    CHECK_INT(fusion_share(&limits, v, 100), 20);
    v.image_priority = 7;
    CHECK_INT(fusion_share(&limits, v, 100), 80);
    v.image_client = 1; /* somebody else's priority counts nothing, nor are many small steps in a row for others */
    CHECK_INT(fusion_share(&limits, v, 100), 50);
    v.images = 1;
    CHECK_INT(fusion_share(&limits, v, 100), 50);
    v.images = 100; /* two clients: a caption of one is done before an image of the other is begun */
    v.image_due_us = 20;
    v.fusion_due_us = 10;
    CHECK_INT(fusion_share(&limits, v, 130), 120);
}

static void test_turns_count_only_rivals(void)
{
    struct batcher_history h = {0};
    struct batcher_view alone = {.items = 2, .rows = 12, .fusion_priority = 3};
    struct batcher_view both = alone;
    both.images = 20;
    both.oldest_image_us = 1000;
    both.image_priority = 3;
    for (int i = 0; i < 50; i++) {
        choose(&limits, alone, &h, 5000);
    }
    CHECK_INT(choose(&limits, both, &h, 5000), BATCHER_IMAGES); /* it has not had a turn */
    CHECK_INT(choose(&limits, both, &h, 5000), BATCHER_FUSION);
    both.fusion_priority = 0; /* its favour begins when it has a rival */
    h = (struct batcher_history){0};
    for (int i = 0; i < 50; i++) {
        choose(&limits, alone, &h, 5000);
    }
    for (int i = 0; i < 4; i++) {
        CHECK_INT(choose(&limits, both, &h, 5000), BATCHER_FUSION);
    }
    CHECK_INT(choose(&limits, both, &h, 5000), BATCHER_IMAGES);
}

static void test_batch_to_its_end(void)
{
    struct batcher_limits l = limits;
    struct batcher_history h = {0};
    l.is_continuous = false;
    struct batcher_view v = {.images = 5, .oldest_image_us = 1000, .items = 2, .rows = 160};
    CHECK_INT(choose(&l, v, &h, 5000), BATCHER_IMAGES); /* gathers while images wait */
    v.rows = 256;
    CHECK_INT(choose(&l, v, &h, 5000), BATCHER_FUSION); /* full */
    v.batch_is_open = true;
    v.rows = 12;
    CHECK_INT(choose(&l, v, &h, 5000), BATCHER_FUSION); /* nothing else until it is done */
    v.batch_is_open = false;
    v.images = 0;
    CHECK_INT(choose(&l, v, &h, 5000), BATCHER_FUSION); /* a lone request waits for nobody */
    v.items = v.rows = 0;
    CHECK_INT(choose(&l, v, &h, 5000), BATCHER_WAIT);
}

/* ---- members of a step ---- */

static int take[256];

static int compose(const struct batcher_source *sources, int n_running, int n, int n_helpers)
{
    memset(take, -1, sizeof(take));
    int sum = batcher_compose(&limits, sources, n_running, n, n_helpers, take), rows = 0, items = 0;
    for (int i = 0; i < n; i++) {
        CHECK(take[i] >= 0 && take[i] <= sources[i].n_items);
        rows += take[i] * sources[i].rows;
        items += take[i];
    }
    CHECK(rows <= limits.max_rows);
    CHECK(items <= limits.max_items);
    CHECK_INT(sum, items);
    CHECK(n == 0 || sum > 0);
    return sum;
}

static void test_all_fit(void)
{
    struct batcher_source s[] = {
        {.rows = 6, .n_items = 1}, {.rows = 6, .n_items = 1}, {.rows = 80, .n_items = 1}, {.rows = 90, .n_items = 1}};
    CHECK_INT(compose(s, 2, 4, 0), 4);
    CHECK_INT(compose(s, 0, 0, 0), 0);
    CHECK_INT(compose(s, 2, 2, 0), 2);
}

static void test_one_job_with_many_texts(void)
{
    struct batcher_source alone[] = {{.rows = 60, .n_items = 100}};
    CHECK_INT(compose(alone, 0, 1, 0), 4); /* nobody waits: all room is its own */
    struct batcher_source two[] = {{.rows = 60, .n_items = 100}, {.rows = 60, .n_items = 1}};
    compose(two, 0, 2, 0);
    CHECK_INT(take[0], 3);
    CHECK_INT(take[1], 1);
    struct batcher_source many[] = {{.rows = 60, .n_items = 100},
                                    {.rows = 60, .n_items = 100},
                                    {.rows = 60, .n_items = 1},
                                    {.rows = 60, .n_items = 1},
                                    {.rows = 60, .n_items = 1}};
    compose(many, 0, 5, 0); /* one of each, in order of due time */
    CHECK_INT(take[0], 1);
    CHECK_INT(take[1], 1);
    CHECK_INT(take[2], 1);
    CHECK_INT(take[3], 1);
    CHECK_INT(take[4], 0);
}

/* Many jobs of one client get no more of a step than the one of another that is due first. */
static void test_texts_of_two_clients(void)
{
    struct batcher_source s[10];
    for (int i = 0; i < 10; i++) {
        s[i] = (struct batcher_source){.rows = 60, .n_items = 100, .due_us = 1000 + (uint64_t)i, .client = i > 0};
    }
    CHECK_INT(compose(s, 0, 10, 0), 4);
    CHECK_INT(take[0], 2);
    CHECK_INT(take[1] + take[2], 2);
    s[0].n_items = 1; /* what it does not need they may have */
    CHECK_INT(compose(s, 0, 10, 0), 4);
    CHECK_INT(take[0], 1);
}

static void test_large_items_are_not_jumped(void)
{
    struct batcher_source s[] = {{.rows = 100, .n_items = 1}, {.rows = 200, .n_items = 1}, {.rows = 50, .n_items = 1}};
    compose(s, 0, 3, 0);
    CHECK_INT(take[0], 1);
    CHECK_INT(take[1], 0);
    CHECK_INT(take[2], 0);
    struct batcher_source first_large[] = {{.rows = 256, .n_items = 1}, {.rows = 50, .n_items = 1}};
    compose(first_large, 0, 2, 0);
    CHECK_INT(take[0], 1);
}

/* Captions wait for the whole step, so questions beside them fill about a third of it. */
static void test_questions_beside_captions(void)
{
    struct batcher_source s[] = {{.rows = 6, .n_items = 1, .is_caption = true},
                                 {.rows = 60, .n_items = 100},
                                 {.rows = 80, .n_items = 1, .is_caption = true}};
    compose(s, 1, 3, 0);
    CHECK_INT(take[0], 1);
    CHECK_INT(take[1], 2);
    CHECK_INT(take[2], 1);
    struct batcher_source without[] = {{.rows = 60, .n_items = 100}, {.rows = 80, .n_items = 1, .is_caption = true}};
    compose(without, 0, 2, 0);
    CHECK_INT(take[0], 2); /* all that is left beside the new caption */
}

/* One thread: captions of one client, each of a dozen steps, beside jobs of a hundred sentences of another client. What
 * a step costs is flat up to SMALL_ROWS. -> how many times slower the captions go, and sentences a step. */
static double slower_beside(int n_captions, uint64_t caption_client, uint64_t caption_due, double *sentences)
{
    enum { STEPS = 12, JOBS = 40, CAPTION_ROWS = 6, PAIR_ROWS = 70 };
    struct batcher_source s[JOBS + 16];
    int cost = 0, n_sentences = 0;
    for (int step = 1; step <= STEPS; step++) {
        for (int i = 0; i < n_captions + JOBS; i++) {
            bool is_caption = i < n_captions;
            s[i] = (struct batcher_source){.rows = is_caption ? CAPTION_ROWS : PAIR_ROWS,
                                           .n_items = is_caption ? 1 : 100,
                                           .is_caption = is_caption,
                                           .due_us = is_caption ? caption_due : 1000 + (uint64_t)i,
                                           .client = is_caption ? caption_client : 7,
                                           .n_steps = step};
        }
        int n = batcher_compose(&limits, s, n_captions, n_captions + JOBS, 0, take), rows = n_captions * CAPTION_ROWS;
        n_sentences += n - n_captions;
        rows += (n - n_captions) * PAIR_ROWS;
        cost += max(rows, SMALL_ROWS);
    }
    *sentences = (double)n_sentences / STEPS;
    return (double)cost / (STEPS * max(n_captions * CAPTION_ROWS, SMALL_ROWS));
}

static void test_captions_keep_their_pace(void)
{
    double sentences;
    CHECK(slower_beside(1, 8, 1000, &sentences) < 2);
    CHECK(sentences >= 0.5); /* the others go on all the same */
    CHECK(slower_beside(12, 8, 1000, &sentences) < 2);
    CHECK(sentences >= 0.5);
    CHECK(slower_beside(1, 8, 2000, &sentences) > 2); /* who is due later has no claim, */
    CHECK(slower_beside(1, 7, 1000, &sentences) > 2); /* and nobody against himself */
}

/* Captions of another client, under way or new, make a step no longer than it is anyhow or than is fair. */
static void test_captions_of_two_clients(void)
{
    struct batcher_source s[40];
    for (int i = 0; i < 16; i++) { /* the first one is a polite client's */
        s[i] = (struct batcher_source){
            .rows = 6, .n_items = 1, .is_caption = true, .due_us = 1000 + (uint64_t)i, .client = i > 0, .n_steps = 3};
    }
    s[16] = (struct batcher_source){.rows = 70, .n_items = 1, .is_caption = true, .due_us = 2000, .client = 1};
    CHECK_INT(compose(s, 16, 16, 0), 5); /* 30 of 32 rows, which take as long as six */
    CHECK_INT(take[0], 1);
    CHECK_INT(compose(s, 16, 17, 0), 5);
    CHECK_INT(take[16], 0);
    s[16].due_us = 900; /* its turn has come */
    CHECK(compose(s, 16, 17, 0) > 1);
    CHECK_INT(take[16], 1);
    CHECK_INT(take[0], 1);
    s[16] = (struct batcher_source){.rows = 70, .n_items = 1, .is_caption = true, .due_us = 900, .client = 0};
    CHECK_INT(compose(s, 16, 17, 0), 2 + 12); /* 76 rows of the one, and no more of the other */
    CHECK_INT(take[16], 1);
    for (int i = 0; i < 40; i++) { /* many clients with one caption each: all of them */
        s[i] =
            (struct batcher_source){.rows = 4, .n_items = 1, .is_caption = true, .due_us = 1000, .client = (uint64_t)i};
    }
    CHECK_INT(compose(s, 40, 40, 0), 40);
}

static void test_captions_leave_room(void)
{
    struct batcher_source s[61];
    for (int i = 0; i < 60; i++) {
        s[i] = (struct batcher_source){.rows = 6, .n_items = 1};
    }
    s[60] = (struct batcher_source){.rows = 90, .n_items = 1};
    CHECK_INT(compose(s, 60, 60, 0), 42); /* 42 * 6 rows */
    compose(s, 60, 61, 0);
    CHECK_INT(take[60], 1);
    CHECK_INT(take[0], 1); /* the longest waiting first */
    CHECK_INT(take[27 - 1], 1);
    CHECK_INT(take[27], 0); /* (256 - 90) / 6 */
}

static void test_item_limit(void)
{
    struct batcher_source s[200];
    for (int i = 0; i < 200; i++) {
        s[i] = (struct batcher_source){.rows = 1, .n_items = 1};
    }
    CHECK_INT(compose(s, 0, 200, 0), 96);
    CHECK_INT(compose(s, 150, 200, 0), 96);
    CHECK_INT(take[71], 1);
    CHECK_INT(take[72], 0);
    CHECK_INT(take[150], 1);
}

static void test_helpers(void)
{
    struct batcher_source captions[10];
    for (int i = 0; i < 10; i++) {
        captions[i] = (struct batcher_source){.rows = 2, .n_items = 1};
    }
    CHECK_INT(compose(captions, 10, 10, 3), 10); /* too little to share */
    struct batcher_source questions[] = {{.rows = 60, .n_items = 4}};
    CHECK_INT(compose(questions, 0, 1, 0), 4);
    CHECK_INT(compose(questions, 0, 1, 1), 2);
    CHECK_INT(compose(questions, 0, 1, 3), 1);
    CHECK_INT(compose(questions, 0, 1, 15), 1);
    struct batcher_source one[] = {{.rows = 90, .n_items = 1}};
    CHECK_INT(compose(one, 0, 1, 3), 1); /* an item is never cut */
}

/* ---- helping ---- */

static void test_who_may_help(void)
{
    CHECK_INT(batcher_helpers(4, 1, 0, 4), 3);
    CHECK_INT(batcher_helpers(4, 1, 0, 2), 1); /* that many want to */
    CHECK_INT(batcher_helpers(8, 3, 0, 2), 3);
    CHECK_INT(batcher_helpers(4, 2, 0, 4), 2); /* that many are free */
    CHECK_INT(batcher_helpers(2, 2, 0, 4), 0);
    CHECK_INT(batcher_helpers(2, 1, 1, 4), 0); /* a picture is being decoded */
    CHECK_INT(batcher_helpers(2, 2, 2, 4), 0);
    CHECK_INT(batcher_helpers(4, 0, 0, 4), 0); /* nobody leads */
}

int main(void)
{
    test_line();
    test_newcomer_meets_long_line();
    test_clients_in_turn();
    test_hurry();
    test_priority_ages();
    test_one_side();
    test_image_waits_for_mates();
    test_turns();
    test_turns_count_only_rivals();
    test_batch_to_its_end();
    test_all_fit();
    test_one_job_with_many_texts();
    test_texts_of_two_clients();
    test_large_items_are_not_jumped();
    test_questions_beside_captions();
    test_captions_keep_their_pace();
    test_captions_of_two_clients();
    test_captions_leave_room();
    test_item_limit();
    test_helpers();
    test_who_may_help();
    return check_result();
}
