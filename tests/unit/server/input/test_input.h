/* What the tests of input share: a request made by hand, taken, and its fault or what came of it.
 * Threads: one. */
#ifndef TESTS_UNIT_SERVER_TEST_INPUT_H
#define TESTS_UNIT_SERVER_TEST_INPUT_H

#include "engine/base/mem.h"
#include "server/input/input.h"
#include "tests/support/check.h"

#include <stdlib.h>

static struct input_limits limits;
static struct input input;
static struct input_fault fault;

__attribute__((unused)) static void set_limits(int images, int texts, int pairs, int text_bytes)
{
    limits = (struct input_limits){images, texts, pairs, (size_t)text_bytes};
}

enum { QUERY_MAX = 16 };

/* "a=1&b=2" as it stands, not decoded, in a block of its own that a sanitizer sees freed. */
__attribute__((unused)) static int split_query(char *text, struct exchange_pair *pairs)
{
    char *state = NULL;
    int n = 0;
    for (char *p = strtok_r(text, "&", &state); p && n < QUERY_MAX; p = strtok_r(NULL, "&", &state)) {
        char *value = strchr(p, '=');
        if (value) {
            *value++ = '\0';
        }
        pairs[n++] = (struct exchange_pair){p, value, strlen(p), value ? strlen(value) : 0};
    }
    return n;
}

/* What input_parse must hold to: need bounds what was held. */
__attribute__((unused)) static bool parse(const struct input_source *s)
{
    size_t before = mem_live_bytes(), need = input_need_bytes(s), body = buf_held(s->body);
    input_release(&input);
    bool is_good = input_parse(&input, s, &fault);
    CHECK(s->body->n == 0 && !s->body->bytes); /* it is the input's now */
    CHECK(is_good || (fault.text.text[0] && fault.fault < FAULT_COUNT));
    CHECK(input_bytes(&input) <= need + body);
    CHECK(mem_live_bytes() <= before + need);
    CHECK(mem_live_bytes() <= before - body + input_bytes(&input) + 64);
    return is_good;
}

/* Takes a request into the statics above, from memory that is gone afterwards. query: NULL: none. */
__attribute__((unused)) static bool read_body(enum input_route route, const char *type, const char *query,
                                              const void *body, size_t n)
{
    struct exchange_pair pairs[QUERY_MAX];
    char *text = strdup(query ? query : ""), *type_copy = type ? strdup(type) : NULL;
    struct buf b;
    input_release(&input);
    buf_init(&b, n);
    buf_append(&b, body, n);
    bool is_good = parse(&(struct input_source){.route = route,
                                                .content_type = type_copy,
                                                .query = pairs,
                                                .n_query = split_query(text, pairs),
                                                .body = &b,
                                                .limits = limits});
    free(text);
    free(type_copy);
    return is_good;
}

__attribute__((unused)) static bool read_json(enum input_route route, const char *query, const char *json)
{
    return read_body(route, "application/json", query, json, strlen(json));
}

__attribute__((unused)) static bool read_form(enum input_route route, const char *body, size_t n)
{
    return read_body(route, "multipart/form-data; boundary=B", NULL, body, n);
}

__attribute__((unused)) static void say_fault(int line, const char *what)
{
    fprintf(stderr, "line %d: %s: fault %s, param \"%s\": %s\n", line, what, reply_fault_code(fault.fault), fault.param,
            fault.text.text);
}

#define CHECK_FAULT(is_good, code_, param_, what)                                                                      \
    do {                                                                                                               \
        bool check_good = (is_good);                                                                                   \
        if (check_good || fault.fault != (code_) || strcmp(fault.param, (param_)) != 0) {                              \
            say_fault(__LINE__, check_good ? "taken" : (what));                                                        \
        }                                                                                                              \
        CHECK(!check_good && fault.fault == (code_) && strcmp(fault.param, (param_)) == 0);                            \
    } while (0)

#define CHECK_TAKEN(is_good)                                                                                           \
    do {                                                                                                               \
        bool check_good = (is_good);                                                                                   \
        CHECK(check_good);                                                                                             \
        if (!check_good) {                                                                                             \
            say_fault(__LINE__, "refused");                                                                            \
        }                                                                                                              \
    } while (0)

__attribute__((unused)) static bool is_image(int i, const char *bytes, size_t n)
{
    return i < input.n_images && input.images[i].bytes && input.images[i].n_bytes == n &&
           memcmp(input.images[i].bytes, bytes, n) == 0;
}

__attribute__((unused)) static bool is_text(int i, const char *text, size_t n)
{
    return i < input.n_texts && input.text_bytes[i] == n && memcmp(input.texts[i], text, n) == 0;
}

#define IS_IMAGE(i, text) is_image(i, text, sizeof(text) - 1)
#define IS_TEXT(i, text)  is_text(i, text, sizeof(text) - 1)

__attribute__((unused)) static bool says(const char *words)
{
    bool is_said = strstr(fault.text.text, words) != NULL;
    if (!is_said) {
        fprintf(stderr, "expected \"%s\" in: %s\n", words, fault.text.text);
    }
    return is_said;
}

#endif
