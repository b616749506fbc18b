/* /docs of a build that has the viewer, and of one that could not fetch it. */
#include "server/api/page_assets.h"

#define n_page_assets n_files
static int n_files;
#include "server/api/api_page.c"

#include "tests/support/check.h"

const struct page_asset page_assets[] = {
    {"docs-plain.html", "text/html", "\"p\"", "", "how to add it", NULL, 13, 0},
    {"docs.html", "text/html", "\"d\"", "", "the viewer's page", NULL, 17, 0},
    {"swagger-ui-bundle.js", "text/javascript", "\"s\"", "", "the viewer", NULL, 10, 0},
};

static void check_docs(const char *wanted)
{
    struct exchange x = {.method = "GET", .path = "/docs"};
    buf_init(&x.answer, 1000);
    api_page(NULL, &x);
    CHECK_INT(x.status, 200);
    CHECK_STR(x.answer.bytes, wanted);
    buf_release(&x.answer);
}

int main(void)
{
    n_files = 2;
    check_docs("how to add it");
    n_files = 3;
    check_docs("the viewer's page");
    return check_result();
}
