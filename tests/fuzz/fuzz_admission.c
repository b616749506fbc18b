/* Any bytes as the head of a request, on through the first look at it: route, prefix, key, Host and Origin, query,
 * deadline, limits. It goes on with a route, or has an answer, which is an error object where it is an error. Headers
 * that are looked at later are read here too: those of the page, the priority.
 *
 *     byte 0   bit 0 the admin port, 1 keys are needed, 2 a prefix, 3 pages of other sites may ask, 4 no admin port is
 *              there, 5 the model is being loaded, 6 names of the admin port */
#include "server/api/api.h"
#include "server/gate/admission.h"
#include "server/http/http_exchange.h"
#include "server/http/reply.h"

#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "engine/base/sha256.h"

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_HEAD = 2048 };

static struct config config;
static struct ledger ledger;
static struct gate *gate;

/* Of all roles; the keys are "k0" to "k7". */
static struct auth_use use[8];
static struct auth_key keys[8];
static struct auth nobody, auth = {.keys = keys, .n_keys = 8};

static void set_up(void)
{
    struct ledger_limits none = {.total = UINT64_MAX};
    for (int i = 0; i < LEDGER_ACCOUNT_COUNT; i++) {
        none.account[i] = UINT64_MAX;
    }
    ledger_init(&ledger, &none);
    config_defaults(&config);
    log_setup(LOG_OFF, LOG_TEXT, STDERR_FILENO);
    const struct gate_options o = {.max_jobs = 8, .ledger = &ledger};
    BUG_ON(gate_create(&gate, &o));
    for (int i = 0; i < auth.n_keys; i++) {
        char text[3] = {'k', (char)('0' + i)};
        keys[i] = (struct auth_key){.roles = (unsigned)i, .rate = i & 1 ? 0.001 : 0, .share = i & 2 ? 50 : 0};
        keys[i].use = &use[i];
        memcpy(keys[i].name, text, sizeof(text));
        sha256(text, 2, keys[i].digest);
    }
}

static void configure(int bits)
{
    snprintf(config.server.prefix, sizeof(config.server.prefix), "%s", bits & 4 ? "/vision" : "");
    snprintf(config.server.cors_origins, sizeof(config.server.cors_origins), "%s", bits & 8 ? "http://a http://b" : "");
    snprintf(config.server.admin_names, sizeof(config.server.admin_names), "%s", bits & 64 ? "a.b c" : "");
    for (int i = 0; i < auth.n_keys; i++) {
        use[i] = (struct auth_use){.n_refs = 1000};
    }
}

static void check_answer(const struct exchange *x)
{
    BUG_ON(x->status < 200 || x->status > 599 || x->n_out > EXCHANGE_MAX_OUT);
    for (int i = 0; i < x->n_out; i++) {
        for (const unsigned char *p = (const unsigned char *)x->out[i].value; *p; p++) {
            BUG_ON(*p < 0x20 || *p == 0x7f);
        }
    }
    if (x->status >= 400) {
        json_t *object = json_loadb(x->answer.bytes, x->answer.n, 0, NULL), *error = json_object_get(object, "error");
        const json_t *message = json_is_string(error) ? error : json_object_get(error, "message");
        BUG_ON(!x->error_code || !message || !json_string_length(message));
        json_decref(object);
    }
}

static void look(struct exchange *x, int bits)
{
    const struct admission a = {.config = &config,
                                .auth = bits & 2 ? &auth : &nobody,
                                .routes = &api_routes,
                                .gate = gate,
                                .has_admin_port = !(bits & 16),
                                .state = bits & 32 ? ADMISSION_LOADING : ADMISSION_OPEN};
    x->is_admin = bits & 1 && a.has_admin_port;
    if (!admission_headers(&a, x)) {
        check_answer(x);
        return;
    }
    BUG_ON(x->status || !x->route || (x->route->flags & ROUTE_WORK && !x->deadline_us));
    BUG_ON(bits & 2 && !(x->route->flags & ROUTE_PUBLIC) && !x->caller.key[0]);
    BUG_ON(x->route->flags & ROUTE_ADMIN && !x->is_admin);
    BUG_ON(x->is_admin && x->headers[HEADER_ORIGIN]);
    int priority = exchange_priority(x);
    BUG_ON(priority < 0 || priority > 7);
    if (x->route->run == api_page) {
        api_page(NULL, x);
        check_answer(x);
    }
    auth_leave(x->caller.use);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!gate) {
        set_up();
    }
    if (size < 1) {
        return 0;
    }
    struct head h;
    struct head_scan s = {0};
    struct exchange *x;
    size_t before = mem_live_bytes();
    configure(data[0]);
    if (head_scan(&h, &s, (const char *)data + 1, size - 1, MAX_HEAD) == HEAD_WHOLE && !http_exchange_create(&x, &h)) {
        look(x, data[0]);
        exchange_destroy(x);
    }
    BUG_ON(mem_live_bytes() != before);
    return 0;
}
