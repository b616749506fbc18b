/* The banned functions do not compile; the compiler is asked. */
#include "engine/base/banned.h"

#include "tests/support/check.h"

#include <spawn.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const lines[] = {"strcpy(a, b)", "strcat(a, b)",     "sprintf(a, b)",    "vsprintf(a, b, v)",
                                    "gets(a)",      "strncpy(a, b, 1)", "strncat(a, b, 1)", "atoi(a)",
                                    "atol(a)",      "atoll(a)",         "atof(a)",          "strtok(a, b)",
                                    "asctime(&t)",  "ctime(&s)",        "gmtime(&s)",       "localtime(&s)",
                                    "system(a)",    "popen(a, b)",      "tmpnam(a)",        "mktemp(a)"};

static int compiles(const char *statement)
{
    char path[] = "/tmp/test_banned_XXXXXX.c";
    int fd = mkstemps(path, 2), status = -1;
    dprintf(fd,
            "#include <stdarg.h>\n#include \"engine/base/banned.h\"\nint f(char *a, char *b, va_list v);\n"
            "int f(char *a, char *b, va_list v) { struct tm t = {0}; time_t s = 0; (void)a, (void)b, (void)v, (void)t, "
            "(void)s; (void)(%s); return 0; }\n",
            statement);
    close(fd);
    const char *const arguments[] = {"cc", "-w", "-fsyntax-only", "-I.", "-D_GNU_SOURCE", path, NULL};
    posix_spawn_file_actions_t actions;
    pid_t child = 0;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", 1, 0);
    CHECK_INT(posix_spawnp(&child, "cc", &actions, NULL, (char *const *)arguments, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    CHECK_INT(waitpid(child, &status, 0), child);
    unlink(path);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int main(void)
{
    CHECK(compiles("memcpy(a, b, 1)")); /* the question itself is right */
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        bool is_allowed = compiles(lines[i]);
        if (is_allowed) {
            fprintf(stderr, "%s compiles\n", lines[i]);
        }
        CHECK(!is_allowed);
    }
    return check_result();
}
