/* Which handler a method and a path find, on which port, and what a wrong method is told. */
#include "server/gate/route.h"

#include "server/api/api.h"
#include "tests/support/check.h"

enum port { MAIN_ALONE, MAIN, ADMIN };

static struct buf allow;
static const struct route *found;
static int hidden; /* flags */

static enum route_result find(enum port port, const char *method, const char *path)
{
    buf_release(&allow);
    buf_init(&allow, 128);
    enum route_result result =
        route_find(&api_routes, method, path, port == ADMIN, port != MAIN_ALONE, hidden, &found, &allow);
    CHECK((result == ROUTE_FOUND) == (found != NULL));
    CHECK(result != ROUTE_NO_METHOD || allow.n > 0);
    return result;
}

static void check_found(enum port port, const char *method, const char *path,
                        void (*run)(struct api *a, struct exchange *x))
{
    enum route_result result = find(port, method, path);
    if (result != ROUTE_FOUND || found->run != run) {
        fprintf(stderr, "%s %s on port %d\n", method, path, port);
    }
    CHECK(result == ROUTE_FOUND && found->run == run);
}

static void check_allow(const char *method, const char *path, const char *expected)
{
    CHECK_INT(find(MAIN_ALONE, method, path), ROUTE_NO_METHOD);
    CHECK_STR(allow.bytes, expected);
}

/* ---- paths ---- */

static void test_whole_paths(void)
{
    static const char *const none[] = {"",          "/?",          "caption",   "/captio",    "/captions", "/caption/",
                                       "//caption", "/Caption",    "/caption?", "/caption/x", "*",         "/images",
                                       "/images/",  "/images/a/b", "/{}",       "/images/x/", "/healthz/"};
    check_found(MAIN, "POST", "/caption", api_caption);
    check_found(MAIN, "POST", "/vqa", api_vqa);
    check_found(MAIN, "POST", "/retrieve", api_retrieve);
    check_found(MAIN, "GET", "/health/live", api_live);
    check_found(MAIN, "GET", "/health/ready", api_ready);
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        if (find(MAIN_ALONE, "POST", none[i]) != ROUTE_NO_PATH) {
            fprintf(stderr, "path %s\n", none[i]);
        }
        CHECK_INT(find(MAIN_ALONE, "POST", none[i]), ROUTE_NO_PATH);
    }
}

static void test_the_page_can_be_hidden(void)
{
    check_found(MAIN_ALONE, "GET", "/", api_page);
    check_found(MAIN, "HEAD", "/page/app.js", api_page);
    check_allow("POST", "/page/app.js", "GET, HEAD");
    CHECK_INT(find(ADMIN, "GET", "/"), ROUTE_NO_PATH);
    hidden = ROUTE_PAGE;
    CHECK_INT(find(MAIN_ALONE, "GET", "/"), ROUTE_NO_PATH);
    CHECK_INT(find(MAIN_ALONE, "POST", "/page/app.js"), ROUTE_NO_PATH);
    CHECK_INT(find(MAIN_ALONE, "GET", "/page/app.js"), ROUTE_NO_PATH);
    check_found(MAIN_ALONE, "GET", "/status", api_status);
    hidden = 0;
}

static void test_patterns(void)
{
    check_found(MAIN, "GET", "/collections", api_collections_list);
    check_found(MAIN, "GET", "/collections/a", api_collection_show);
    check_found(MAIN, "DELETE", "/collections/a", api_collection_drop);
    check_found(MAIN, "PUT", "/collections/a/images/b", api_collection_put);
    check_found(MAIN, "PUT", "/collections/a/images/b/c/d.jpg", api_collection_put); /* {*} takes the rest */
    check_found(MAIN, "PUT", "/collections/a/images//", api_collection_put);
    check_found(MAIN, "DELETE", "/collections/images/images/images", api_collection_remove);
    check_found(MAIN, "HEAD", "/images/0123", api_image_known);
    check_found(MAIN, "HEAD", "/images/{}", api_image_known);
    CHECK_INT(find(MAIN, "PUT", "/collections/a/images/"), ROUTE_NO_PATH);
    CHECK_INT(find(MAIN, "PUT", "/collections/a/images"), ROUTE_NO_PATH);
    CHECK_INT(find(MAIN, "PUT", "/collections//images/b"), ROUTE_NO_PATH); /* {} is never empty */
    CHECK_INT(find(MAIN, "GET", "/collections/"), ROUTE_NO_PATH);
    CHECK_INT(find(MAIN, "GET", "/collections/a/b"), ROUTE_NO_PATH);
}

/* ---- methods ---- */

static void test_methods(void)
{
    check_found(MAIN, "HEAD", "/healthz", api_live);
    check_found(MAIN, "HEAD", "/collections/a", api_collection_show);
    CHECK_INT(find(MAIN, "HEAD", "/caption"), ROUTE_NO_METHOD);
    CHECK_INT(find(MAIN, "GET", "/images/a"), ROUTE_NO_METHOD); /* HEAD finds GET, GET does not find HEAD */
    CHECK_INT(find(MAIN, "post", "/caption"), ROUTE_NO_METHOD);
    CHECK_INT(find(MAIN, "", "/caption"), ROUTE_NO_METHOD);
    check_allow("GET", "/caption", "POST");
    check_allow("POST", "/healthz", "GET, HEAD");
    check_allow("POST", "/collections/a", "GET, HEAD, DELETE");
    check_allow("GET", "/collections/a/images/b", "PUT, DELETE");
    check_allow("GET", "/images/a", "HEAD");
    check_allow("OPTIONS", "/vqa", "POST");
}

/* ---- ports ---- */

static void test_ports(void)
{
    CHECK_INT(find(ADMIN, "POST", "/caption"), ROUTE_NO_PATH);
    CHECK_INT(find(ADMIN, "GET", "/collections"), ROUTE_NO_PATH);
    check_found(ADMIN, "GET", "/healthz", api_live);
    check_found(MAIN, "GET", "/healthz", api_live);
    check_found(MAIN_ALONE, "GET", "/healthz", api_live);
    check_found(ADMIN, "GET", "/version", api_version);
    check_found(MAIN, "GET", "/openapi.json", api_openapi);
    check_found(MAIN_ALONE, "GET", "/metrics", api_metrics);
    check_found(ADMIN, "GET", "/metrics", api_metrics);
    CHECK_INT(find(MAIN, "GET", "/metrics"), ROUTE_NO_PATH);
    check_found(ADMIN, "POST", "/admin/reload", api_reload);
    CHECK_INT(find(MAIN, "POST", "/admin/reload"), ROUTE_NO_PATH);
    CHECK_INT(find(MAIN_ALONE, "POST", "/admin/reload"), ROUTE_NO_PATH);
    check_found(ADMIN, "GET", "/debug/requests", api_debug);
    check_found(ADMIN, "GET", "/debug/requests/x", api_debug_one);
    CHECK_INT(find(MAIN_ALONE, "GET", "/debug/requests"), ROUTE_NO_PATH);
    /* a path of the other port is no path here, whatever the method: its methods are not told */
    CHECK_INT(find(MAIN, "GET", "/admin/reload"), ROUTE_NO_PATH);
}

static void test_flags(void)
{
    static const char *const open[] = {"/healthz",     "/livez",        "/readyz", "/startupz",
                                       "/health/live", "/health/ready", "/ping"};
    static const char *const closed[] = {"/metrics", "/version", "/openapi.json", "/collections", "/collections/a"};
    for (size_t i = 0; i < sizeof(open) / sizeof(open[0]); i++) {
        CHECK(find(MAIN_ALONE, "GET", open[i]) == ROUTE_FOUND && (found->flags & ROUTE_PUBLIC));
    }
    for (size_t i = 0; i < sizeof(closed) / sizeof(closed[0]); i++) {
        CHECK(find(MAIN_ALONE, "GET", closed[i]) == ROUTE_FOUND && !(found->flags & ROUTE_PUBLIC));
    }
    CHECK(find(MAIN, "POST", "/vqa") == ROUTE_FOUND && (found->flags & ROUTE_WORK) && !(found->flags & ROUTE_PUBLIC));
    CHECK(find(ADMIN, "POST", "/admin/reload") == ROUTE_FOUND && !(found->flags & ROUTE_PUBLIC));
}

/* ---- segments ---- */

static void check_segment(const char *path, int n, const char *expected)
{
    char out[8];
    memset(out, '#', sizeof(out));
    bool is_there = route_segment(path, n, out, sizeof(out));
    CHECK(is_there == (expected != NULL));
    if (is_there && expected) {
        CHECK_STR(out, expected);
    }
}

static void test_segments(void)
{
    check_segment("/a/bc/d", 0, "a");
    check_segment("/a/bc/d", 1, "bc");
    check_segment("/a/bc/d", 2, "d");
    check_segment("/a/bc/d", 3, NULL);
    check_segment("/a/bc/", 2, NULL);
    check_segment("/a//d", 1, NULL);
    check_segment("/a//d", 2, "d");
    check_segment("/", 0, NULL);
    check_segment("", 0, NULL);
    check_segment("", 5, NULL);
    check_segment("a/b", 0, NULL);
    check_segment("/1234567/x", 0, "1234567"); /* with its NUL just what fits */
    check_segment("/12345678/x", 0, NULL);
    check_segment("/123456789012/x", 1, "x");
}

static void test_tidy_paths(void)
{
    static const struct {
        const char *path, *tidy;
    } cases[] = {{"/caption/", "/caption"},
                 {"//caption", "/caption"},
                 {"/Caption", "/caption"},
                 {"/v1//Models//", "/v1/models"},
                 {"//", "/"},
                 {"/caption", NULL},
                 {"/", NULL},
                 {"", NULL}};
    char out[16];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        CHECK_INT(route_tidy(cases[i].path, out, sizeof(out)), cases[i].tidy != NULL);
        CHECK(!cases[i].tidy || strcmp(out, cases[i].tidy) == 0);
    }
    CHECK(!route_tidy("/123456789012345/", out, sizeof(out)));
    CHECK(route_tidy("/1234567890123/", out, sizeof(out)));
}

int main(void)
{
    test_whole_paths();
    test_the_page_can_be_hidden();
    test_patterns();
    test_methods();
    test_ports();
    test_flags();
    test_segments();
    test_tidy_paths();
    buf_release(&allow);
    return check_result();
}
