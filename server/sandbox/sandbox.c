#include "server/sandbox/sandbox.h"

#include "engine/base/thread.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#ifdef MINIVLM_INSTRUMENTED
static const bool is_instrumented = true;
#else
static const bool is_instrumented = false;
#endif

static struct sandbox_state state;

static enum err enter(const char *thread_name)
{
    bool is_confined;
    int kind = sandbox_calls_kind(thread_name, &is_confined);
    enum err rc = OK;
    if (is_confined && state.has_files) {
        rc = sandbox_files_enter();
    }
    if (!rc && is_confined && state.has_privileges) {
        rc = sandbox_privileges_enter();
    }
    return !rc && state.has_calls ? sandbox_calls_enter(kind) : rc;
}

/* One part; what it lacks is remembered. */
static bool note(enum err rc, const struct errbuf *why)
{
    size_t n = rc ? strlen(state.missing) : 0;
    if (rc) {
        snprintf(state.missing + n, sizeof(state.missing) - n, "%s%s", n ? "; " : "", errbuf_text(why, rc));
    }
    return !rc;
}

/* Threads that are there already keep their files and privileges: those of libraries, which began before main. */
static bool is_alone(void)
{
    struct stat st;
    return stat("/proc/self/task", &st) != 0 || st.st_nlink <= 3; /* itself, its parent, one folder */
}

/* seccomp last: it forbids what the others need. */
static void close_parts(const struct sandbox_options *o)
{
    struct errbuf why;
    bool can_write = false;
    for (int i = 0; i < SANDBOX_FOLDERS; i++) {
        can_write |= o->write[i] && o->write[i][0];
    }
    errbuf_clear(&why);
    state.has_privileges = note(sandbox_privileges_close(&why), &why);
    state.has_files = note(sandbox_files_close(o, &state.landlock_abi, &why), &why);
    if (!is_alone()) {
        (void)note(err_set(&why, ERR_BAD_CONFIG, "a library has threads already: set OPENBLAS_NUM_THREADS=1"), &why);
    }
    state.has_calls = note(sandbox_calls_close(can_write, &why), &why);
}

enum err sandbox_close(const struct sandbox_options *o, struct sandbox_state *out, struct errbuf *e)
{
    state = (struct sandbox_state){.landlock_abi = 0};
    if (is_instrumented) {
        snprintf(state.missing, sizeof(state.missing), "this build has sanitizers or coverage");
    } else {
        close_parts(o);
        thread_set_guard(enter);
    }
    *out = state;
    if (o->is_required && state.missing[0]) {
        return err_set(
            e, ERR_BAD_CONFIG,
            "server.sandbox=require, and not all of it can be had: %s; run a kernel with seccomp and Landlock "
            "(5.13 or later) in a container that allows them, or say auto",
            state.missing);
    }
    return OK;
}
