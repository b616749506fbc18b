#include "server/gate/plan.h"

#include "tests/support/check.h"

static const uint64_t mb = 1 << 20;

static struct engine_info engine_of(uint64_t memory_mb)
{
    return (struct engine_info){
        .engine_threads = 2, .decode_threads = 1, .memory_bytes = (size_t)(memory_mb * mb), .features_bytes = 130000};
}

static uint64_t sum_of(const struct plan *p)
{
    uint64_t sum = 0;
#define ADD(name, text, key, fixed) sum += p->name;
    PLAN_LINES(ADD)
#undef ADD
    return sum;
}

static void test_enough_memory(void)
{
    struct config c;
    struct plan p;
    struct errbuf e = {""};
    struct engine_info info = engine_of(190);
    config_defaults(&c);
    CHECK_INT(plan_make(&p, &c, &info, 0, 16384 * mb, &e), OK);
    CHECK(!p.is_tight);
    CHECK(p.bodies == 256 * mb);
    CHECK(p.cache == c.cache.bytes);
    CHECK(p.decoding >= 15 * (uint64_t)c.limits.pixels); /* of 50 megapixels: HEIC, turned */
    CHECK(p.collections == 0 && p.archive == 0);         /* there are none */
    CHECK(p.total == sum_of(&p) && p.total <= p.limit);
    CHECK_INT(plan_make(&p, &c, &info, 0, 0, &e), OK); /* no limit is known */
    CHECK(!p.is_tight);
}

/* Default keys in small control groups: everything is smaller, nothing is missing. */
static void test_small_groups(void)
{
    static const uint64_t limits_mb[] = {420, 512, 1024};
    struct engine_info info = engine_of(190);
    for (size_t i = 0; i < sizeof(limits_mb) / sizeof(limits_mb[0]); i++) {
        struct config c;
        struct plan p;
        struct errbuf e = {""};
        config_defaults(&c);
        CHECK_INT(plan_make(&p, &c, &info, 0, limits_mb[i] * mb, &e), OK);
        CHECK_STR(e.text, "");
        CHECK(p.is_tight);
        CHECK(p.total == sum_of(&p) && p.total <= limits_mb[i] * mb);
        CHECK(p.total + mb > limits_mb[i] * mb); /* all of it is given out */
        CHECK(p.bodies > c.limits.body_bytes);   /* one body at least */
        CHECK(p.decoding >= 40 * mb);            /* 12 megapixels of an ordinary JPEG */
    }
}

static void test_asked_for(void)
{
    struct config c;
    struct plan p;
    struct errbuf e = {""};
    struct engine_info info = engine_of(190);
    config_defaults(&c);
    c.limits.body_memory_bytes = 100 * mb;
    c.limits.decode_memory_bytes = 60 * mb;
    CHECK_INT(plan_make(&p, &c, &info, 0, 600 * mb, &e), OK);
    CHECK(p.bodies == 100 * mb && p.decoding == 60 * mb); /* neither more nor less */
    c.limits.decode_memory_bytes = 900 * mb;
    CHECK_INT(plan_make(&p, &c, &info, 0, 600 * mb, &e), ERR_BAD_CONFIG);
    CHECK(strstr(e.text, "limits.decode_memory_bytes") && strstr(e.text, "limits.body_memory_bytes"));
    CHECK(strstr(e.text, "600 are allowed"));
}

static void test_does_not_fit(void)
{
    struct config c;
    struct plan p;
    struct errbuf e = {""};
    struct engine_info info = engine_of(300);
    config_defaults(&c);
    CHECK_INT(plan_make(&p, &c, &info, 0, 256 * mb, &e), ERR_BAD_CONFIG);
    CHECK(strstr(e.text, "engine.threads") && strstr(e.text, "limits.requests"));
}

/* A second engine may use what the budgets have left over, and not what the engine keeps for itself. */
static void test_ledger(void)
{
    struct config c;
    struct plan p;
    struct ledger_limits limits;
    struct ledger l;
    struct engine_info info = engine_of(190);
    config_defaults(&c);
    CHECK_INT(plan_make(&p, &c, &info, 0, 1024 * mb, NULL), OK);
    plan_ledger_limits(&p, &limits);
    ledger_init(&l, &limits);
    CHECK(limits.total >= p.bodies + p.parsing + p.answers);
    CHECK(limits.total + p.decoding + p.cache < p.limit - 190 * mb);
    CHECK(ledger_take(&l, LEDGER_RELOAD, 190 * mb));
    CHECK(!ledger_take(&l, LEDGER_RELOAD, 190 * mb * 2));
    CHECK(!ledger_take(&l, LEDGER_BODIES, p.bodies + 1));
}

/* What other rooms hold is planned as they say; a plan that does not fit leaves the old one as it was. */
static void test_others(void)
{
    struct config c;
    struct plan p, few, many;
    struct errbuf e = {""};
    struct engine_info info = engine_of(190);
    config_defaults(&c);
    CHECK_INT(plan_make(&p, &c, &info, 12 * mb, 600 * mb, &e), OK);
    CHECK(p.archive == 12 * mb && p.total == sum_of(&p));
    struct plan before = p;
    CHECK_INT(plan_make(&p, &c, &info, 600 * mb, 600 * mb, &e), ERR_BAD_CONFIG);
    CHECK(memcmp(&p, &before, sizeof(p)) == 0);

    c.server.max_connections = 4; /* all of them may have a request under way */
    CHECK_INT(plan_make(&few, &c, &info, 0, 400 * mb, &e), OK);
    CHECK(few.connections >= 4 * (uint64_t)42 << 10 && few.connections < mb);
    c.server.max_connections = 50000;
    CHECK_INT(plan_make(&many, &c, &info, 0, 64 * 1024 * mb, &e), OK);
    CHECK(many.connections >= 50000 * ((uint64_t)14 << 10));
    c.server.admin_port = 0;
    CHECK_INT(plan_make(&few, &c, &info, 0, 400 * mb, &e), OK);
    CHECK(few.connections > PLAN_ADMIN_BYTES);
    c.server.max_header_bytes = 1 << 20; /* one such head fits, however little there is */
    CHECK_INT(plan_make(&few, &c, &info, 0, 400 * mb, &e), OK);
    CHECK(few.connections > PLAN_ADMIN_BYTES + mb);
}

int main(void)
{
    test_enough_memory();
    test_small_groups();
    test_asked_for();
    test_does_not_fit();
    test_ledger();
    test_others();
    return check_result();
}
