#include "engine/base/err.h"

#include "tests/support/check.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_lists(void)
{
    for (int i = 0; i < ERR_COUNT; i++) {
        CHECK(err_slug((enum err)i)[0] != '\0' && err_text((enum err)i)[0] != '\0');
        for (int j = 0; j < i; j++) {
            CHECK(strcmp(err_slug((enum err)i), err_slug((enum err)j)) != 0);
        }
        CHECK_INT(strspn(err_slug((enum err)i), "abcdefghijklmnopqrstuvwxyz_"), strlen(err_slug((enum err)i)));
    }
    CHECK_STR(err_slug(ERR_CORRUPT_IMAGE), "corrupt_image");
    CHECK_INT(OK, 0);
}

static void test_buffer(void)
{
    struct errbuf e;
    errbuf_clear(&e);
    errbuf_clear(NULL);
    CHECK_STR(errbuf_text(&e, ERR_IO), err_text(ERR_IO));
    CHECK_STR(errbuf_text(NULL, ERR_IO), err_text(ERR_IO));
    CHECK_INT(err_set(&e, ERR_NOMEM, "%d of %s", 3, "them"), ERR_NOMEM);
    CHECK_STR(errbuf_text(&e, ERR_NOMEM), "3 of them");
    CHECK_INT(err_set(NULL, ERR_IO, "nobody reads this"), ERR_IO);
    CHECK_INT(err_set(&e, ERR_IO, "%2000d", 1), ERR_IO);
    CHECK_INT(strlen(e.text), ERRBUF_MAX - 1); /* cut, not overrun */
}

static void test_bug_aborts(void)
{
    pid_t child = fork();
    if (child == 0) {
        close(STDERR_FILENO);
        BUG_ON(1 + 1 == 2);
        _exit(0);
    }
    int status = 0;
    CHECK_INT(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int main(void)
{
    test_lists();
    test_buffer();
    test_bug_aborts();
    return check_result();
}
