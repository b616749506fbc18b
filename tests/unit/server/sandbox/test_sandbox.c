/* Each row is a child process that binds itself and then does, in a thread of some kind, what a thread that was taken
 * over would try: it must be killed, or refused. Rows that must go well show that the work itself is not in the way. */
#include "engine/base/thread.h"
#include "server/sandbox/sandbox.h"
#include "tests/support/check.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[] = "/tmp/sandbox_XXXXXX", inside[64], outside[64];
static int listener;

/* ---- what is tried: 0 when it went well ---- */

static int run_program(void)
{
    char *arguments[] = {(char *)(uintptr_t) "true", NULL};
    return execv("/bin/true", arguments);
}

static int start_process(void)
{
    return fork() < 0;
}

static int look_into_others(void)
{
    return (int)syscall(SYS_ptrace, 16 /* PTRACE_ATTACH */, 1, NULL, NULL);
}

static int make_socket(void)
{
    return socket(AF_INET, SOCK_STREAM, 0) < 0;
}

static int accept_connection(void)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    return fd < 0 && errno != EAGAIN;
}

static int connect_out(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    return connect(listener, (const struct sockaddr *)&to, sizeof(to)) != 0;
}

static int try_open(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);
    if (fd >= 0) {
        close(fd);
    }
    return fd < 0;
}

static int read_file(void)
{
    return try_open("/etc/passwd", O_RDONLY);
}

static int read_inside(void)
{
    return try_open(inside, O_RDONLY);
}

static int write_inside(void)
{
    return try_open(inside, O_RDWR | O_CREAT);
}

static int write_outside(void)
{
    return try_open(outside, O_WRONLY | O_CREAT);
}

static int kill_others(void)
{
    return kill(getppid(), 0);
}

static int make_code(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
}

static int turn_into_code(void)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED || mprotect(p, 4096, PROT_READ | PROT_EXEC) != 0;
}

static void *nothing(void *p)
{
    return p;
}

static int start_thread(void)
{
    pthread_t t;
    return pthread_create(&t, NULL, nothing, NULL) != 0 || pthread_join(t, NULL) != 0;
}

/* What a decoder's own thread may not do either: it was started with the decoder's bonds. */
static void *run_program_there(void *p)
{
    run_program();
    return p;
}

static int run_program_in_child_thread(void)
{
    pthread_t t;
    return pthread_create(&t, NULL, run_program_there, NULL) != 0 || pthread_join(t, NULL) != 0;
}

static int compute(void)
{
    char *p = malloc(5 << 20);
    bool is_good = p && memset(p, 1, 5 << 20) == p;
    p = realloc(p, 9 << 20);
    is_good &= p != NULL;
    free(p);
    sched_yield();
    thread_yield_to_others(5);
    return !is_good || write(STDERR_FILENO, "", 0) != 0;
}

static int leave_a_core(void)
{
    struct rlimit r;
    return getrlimit(RLIMIT_CORE, &r) != 0 || r.rlim_cur == 0;
}

enum outcome { WELL, REFUSED, KILLED };

static const struct row {
    const char *thread; /* NULL: the main thread */
    const char *name;
    int (*act)(void);
    enum outcome outcome;
} rows[] = {
    {"decode-0", "a program", run_program, KILLED},
    {"decode-0", "a program in its thread", run_program_in_child_thread, KILLED},
    {"decode-0", "a process", start_process, KILLED},
    {"decode-0", "ptrace", look_into_others, KILLED},
    {"decode-0", "a socket", make_socket, REFUSED},
    {"decode-0", "a connection", accept_connection, REFUSED},
    {"decode-0", "connecting", connect_out, REFUSED},
    {"decode-0", "a file", read_file, REFUSED},
    {"decode-0", "a file that others write", write_inside, REFUSED},
    {"decode-0", "a signal", kill_others, REFUSED},
    {"decode-0", "new code", make_code, REFUSED},
    {"decode-0", "code from data", turn_into_code, REFUSED},
    {"decode-0", "its work", compute, WELL},
    {"decode-0", "a thread", start_thread, WELL},
    {"engine-12", "a program", run_program, KILLED},
    {"engine-12", "a file", read_file, REFUSED},
    {"engine-12", "its work", compute, WELL},
    {"side", "a program", run_program, KILLED},
    {"side", "a socket", make_socket, REFUSED},
    {"side", "its work", compute, WELL},
    {"log", "a file", read_inside, REFUSED},
    {"log", "its work", compute, WELL},
    {"archive-write", "a program", run_program, KILLED},
    {"archive-write", "a socket", make_socket, REFUSED},
    {"archive-write", "a file elsewhere", write_outside, REFUSED},
    {"archive-write", "its file", write_inside, WELL},
    {"loader", "a program", run_program, KILLED},
    {"loader", "a connection", accept_connection, REFUSED},
    {"loader", "writing", write_inside, REFUSED},
    {"loader", "a model", read_file, WELL},
    {"loader", "a thread", start_thread, WELL},
    {NULL, "a program", run_program, KILLED},
    {NULL, "a process", start_process, KILLED},
    {NULL, "a socket", make_socket, REFUSED},
    {NULL, "writing elsewhere", write_outside, REFUSED},
    {NULL, "new code", make_code, REFUSED},
    {NULL, "a signal", kill_others, REFUSED},
    {NULL, "a core", leave_a_core, REFUSED},
    {NULL, "a connection", accept_connection, WELL},
    {NULL, "its file", write_inside, WELL},
    {NULL, "the configuration", read_file, WELL},
    {NULL, "a thread", start_thread, WELL},
};

/* ---- children ---- */

static void *act_there(void *row)
{
    return ((const struct row *)row)->act() ? row : NULL;
}

/* Exit codes: 0 went well, 1 was refused, 3 could not be bound. */
static int child(const struct row *row)
{
    struct sandbox_options o = {.is_required = true, .read = "/", .write = {inside}};
    struct sandbox_state state;
    struct errbuf e;
    pthread_t t;
    void *refused;
    errbuf_clear(&e);
    if (sandbox_close(&o, &state, &e)) {
        fprintf(stderr, "%s\n", e.text);
        return 3;
    }
    if (!row->thread) {
        return row->act() != 0;
    }
    if (thread_start(&t, row->thread, act_there, (void *)(uintptr_t)row) != OK) {
        return 3;
    }
    pthread_join(t, &refused);
    return refused != NULL;
}

static int status_of(int (*act)(const struct row *), const struct row *row)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        _exit(act(row));
    }
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
    return status;
}

static void test_rows(void)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct row *row = &rows[i];
        int status = status_of(child, row);
        bool is_killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
        bool is_right =
            row->outcome == KILLED ? is_killed : WIFEXITED(status) && WEXITSTATUS(status) == (int)row->outcome;
        if (!is_right) {
            fprintf(stderr, "%s, %s: status %x\n", row->thread ? row->thread : "main", row->name, status);
        }
        CHECK(is_right);
    }
}

/* ---- narrower reading ---- */

static int child_that_reads(const struct row *unused)
{
    (void)unused;
    const struct sandbox_options o = {.is_required = true, .read = folder, .read_too = {"tests/data/tiny", ""}};
    struct sandbox_state state;
    bool is_right = sandbox_close(&o, &state, NULL) == OK && state.landlock_abi > 0 && !state.missing[0];
    is_right &= try_open("tests/data/tiny-lite/config.json", O_RDONLY) == 0; /* beside the model */
    is_right &= try_open(inside, O_RDONLY) == 0 && try_open("/proc/self/statm", O_RDONLY) == 0;
    is_right &= try_open("/etc/passwd", O_RDONLY) != 0 && try_open(inside, O_RDWR) != 0;
    return !is_right;
}

/* ---- where it cannot be had ---- */

/* A kernel, or a container, that refuses the calls. */
static int child_without(const struct row *is_required)
{
    struct rlimit none = {0, 0};
    const struct sandbox_options o = {.is_required = is_required != NULL, .read = "/"};
    struct sandbox_state state;
    struct errbuf e;
    errbuf_clear(&e);
    setrlimit(RLIMIT_NOFILE, &none); /* no ruleset and no filter can be made */
    enum err rc = sandbox_close(&o, &state, &e);
    bool is_right = !state.has_files && !state.has_calls && state.has_privileges && strstr(state.missing, "seccomp");
    if (is_required) {
        is_right &= rc == ERR_BAD_CONFIG && strstr(e.text, "server.sandbox=require") && strstr(e.text, "auto");
    } else {
        pthread_t t; /* what can be bound is, and the service goes on */
        is_right &= rc == OK && thread_start(&t, "decode-0", nothing, NULL) == OK && pthread_join(t, NULL) == 0;
    }
    return !is_right;
}

/* Sanitizers, valgrind and old kernels have no sandbox to test. */
static bool can_be_bound(void)
{
    const struct row nothing_to_do = {NULL, "", compute, WELL};
    return status_of(child, &nothing_to_do) == 0;
}

int main(void)
{
    if (!mkdtemp(folder)) {
        perror(folder);
        return 1;
    }
    snprintf(inside, sizeof(inside), "%s/collections.db", folder);
    snprintf(outside, sizeof(outside), "%s.outside", folder);
    close(open(inside, O_CREAT | O_WRONLY, 0600));
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    CHECK(listener >= 0 && listen(listener, 1) == 0);
    if (can_be_bound()) {
        test_rows();
        CHECK_INT(status_of(child_that_reads, NULL), 0);
        CHECK_INT(status_of(child_without, NULL), 0);
        CHECK_INT(status_of(child_without, &rows[0]), 0);
    } else {
        fprintf(stderr, "no sandbox here: nothing tested\n");
    }
    CHECK(access(outside, F_OK) != 0);
    unlink(inside);
    rmdir(folder);
    return check_result();
}
