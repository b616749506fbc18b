#include "engine/model/load/labels.h"
#include "tests/support/check.h"
#include "tests/support/torture.h"

#include <stdlib.h>

static void test_good(void)
{
    static const char json[] =
        "{\"objects\":[\"dog\",\"wine glass\",\"caf\\u00e9\"],\"attributes\":[],\"answers\":[\"yes\"]}";
    struct labels *l = NULL;
    CHECK_INT(labels_parse(&l, json, strlen(json), "l.json", NULL), OK);
    CHECK(l->n_objects == 3 && l->n_attributes == 0 && l->n_answers == 1);
    CHECK_STR(l->objects[0], "dog");
    CHECK_STR(l->objects[1], "wine glass");
    CHECK_STR(l->objects[2], "caf\xc3\xa9");
    CHECK_STR(l->answers[0], "yes");
    labels_close(l);
    labels_close(NULL);
}

static void test_malformed(void)
{
    static const struct {
        const char *json, *fragment;
    } cases[] = {
        {"", "l.json: line"},
        {"[]", "must be a JSON object"},
        {"{}", "key 'objects' is missing"},
        {"{\"objects\":[],\"answers\":[]}", "key 'attributes' is missing"},
        {"{\"objects\":[],\"attributes\":[],\"answers\":[],\"x\":[]}", "unknown key 'x'"},
        {"{\"objects\":[],\"objects\":[],\"attributes\":[],\"answers\":[]}", "duplicate"},
        {"{\"objects\":{},\"attributes\":[],\"answers\":[]}", "key 'objects' must be an array of 0 to 100000"},
        {"{\"objects\":[\"a\",1],\"attributes\":[],\"answers\":[]}", "key 'objects[1]' must be a string"},
        {"{\"objects\":[\"\"],\"attributes\":[],\"answers\":[]}", "key 'objects[0]'"},
        {"{\"objects\":[],\"attributes\":[\"a\\nb\"],\"answers\":[]}", "key 'attributes[0]'"},
        {"{\"objects\":[],\"attributes\":[],\"answers\":[\"a\\u0000b\"]}", "l.json: line 1"},
        {"{\"objects\":[[]],\"attributes\":[],\"answers\":[]}", "nested deeper than 2"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct labels *l = NULL;
        struct errbuf e;
        CHECK_INT(labels_parse(&l, cases[i].json, strlen(cases[i].json), "l.json", &e), ERR_BAD_MODEL);
        CHECK(!l && strstr(e.text, cases[i].fragment));
        if (!strstr(e.text, cases[i].fragment)) {
            fprintf(stderr, "  gave: %s\n", e.text);
        }
    }
}

static char *long_label(size_t n, size_t *size)
{
    char *json = malloc(n + 100);
    char *at = json + snprintf(json, 50, "{\"objects\":[\"");
    memset(at, 'x', n);
    at += n;
    at += snprintf(at, 50, "\"],\"attributes\":[],\"answers\":[]}");
    *size = (size_t)(at - json);
    return json;
}

static void test_limits(void)
{
    for (size_t n = 200; n <= 201; n++) {
        struct labels *l = NULL;
        size_t size;
        char *json = long_label(n, &size);
        CHECK_INT(labels_parse(&l, json, size, "l.json", NULL), n == 200 ? OK : ERR_BAD_MODEL);
        CHECK(n == 201 || strlen(l->objects[0]) == 200);
        labels_close(l);
        free(json);
    }
    for (int n = 100000; n <= 100001; n++) {
        struct labels *l = NULL;
        char *json = malloc((size_t)n * 4 + 100), *at = json;
        at += snprintf(at, 50, "{\"objects\":[],\"attributes\":[],\"answers\":[");
        for (int i = 0; i < n; i++) {
            at += snprintf(at, 8, "%s\"x\"", i ? "," : "");
        }
        at += snprintf(at, 8, "]}");
        CHECK_INT(labels_parse(&l, json, (size_t)(at - json), "l.json", NULL), n == 100000 ? OK : ERR_BAD_MODEL);
        labels_close(l);
        free(json);
    }
}

static enum err open_tiny(void *arg)
{
    struct labels *l = NULL;
    struct errbuf e;
    (void)arg;
    enum err rc = labels_open(&l, "tests/data/tiny/labels.json", &e);
    CHECK(rc || (l->n_objects == 12 && l->n_answers == 15));
    labels_close(l);
    return rc;
}

static void test_absent_file(void)
{
    struct labels *l = NULL;
    struct errbuf e;
    CHECK_INT(labels_open(&l, "tests/data/tiny/absent.json", &e), ERR_IO);
    CHECK(!l && strstr(e.text, "absent.json"));
}

int main(void)
{
    test_good();
    test_malformed();
    test_limits();
    test_absent_file();
    CHECK(torture(open_tiny, NULL) >= 1);
    return check_result();
}
