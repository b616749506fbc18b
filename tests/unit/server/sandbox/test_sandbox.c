/* Each case is a child process that binds itself and then does, in a thread of some kind, what a thread that was taken
 * over would try: it must be killed, or refused. What must go well shows that the work itself is not in the way. */
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
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
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

static int run_program_by_descriptor(void)
{
    char *arguments[] = {(char *)(uintptr_t) "true", NULL};
    return (int)syscall(SYS_execveat, AT_FDCWD, "/bin/true", arguments, NULL, 0);
}

static int start_process(void)
{
    return fork() < 0;
}

static int look_into_others(void)
{
    return (int)syscall(SYS_ptrace, 16 /* PTRACE_ATTACH */, 1, NULL, NULL);
}

static int read_others(void)
{
    char here[8];
    struct iovec to = {here, sizeof(here)}, from = {here, sizeof(here)};
    return process_vm_readv(getppid(), &to, 1, &from, 1, 0) < 0;
}

static int start_process_anew(void)
{
    uint64_t arguments[8] = {[4] = SIGCHLD};
    return syscall(SYS_clone3, arguments, sizeof(arguments)) < 0;
}

static int mount_something(void)
{
    return mount("none", "/mnt", "tmpfs", 0, NULL);
}

static int yield_for_others(void)
{
    return setpriority(PRIO_USER, 0, 1);
}

static int raise_a_limit(void)
{
    struct rlimit r = {64, 64};
    return setrlimit(RLIMIT_NOFILE, &r);
}

/* Where the kernel has been broken through before. */
static int make_ring(void)
{
    char parameters[120] = "";
    return syscall(SYS_io_uring_setup, 2, parameters) < 0;
}

static int make_file_in_memory(void)
{
    return memfd_create("x", MFD_CLOEXEC) < 0;
}

static int handle_faults(void)
{
    return syscall(SYS_userfaultfd, 0) < 0;
}

static int read_keys(void)
{
    return syscall(SYS_keyctl, 0, -3, 0) < 0;
}

static int take_dumps(void)
{
    return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static int make_pair(int type)
{
    int pair[2];
    if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair)) {
        return -1;
    }
    close(pair[0]);
    close(pair[1]);
    return 0;
}

static int make_pair_of_streams(void)
{
    return make_pair(SOCK_STREAM);
}

/* Which could send to any UNIX socket of the system. */
static int make_pair_of_datagrams(void)
{
    return make_pair(SOCK_DGRAM);
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

static int write_users(void)
{
    return try_open("/etc/passwd", O_WRONLY);
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

static int turn_into_code_by_key(void)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED || syscall(SYS_pkey_mprotect, p, 4096, PROT_READ | PROT_EXEC, -1) != 0;
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

enum { KINDS = 8 };
static const char *const threads[KINDS] = {"decode-0",      "engine-12",    "side",   "log",
                                           "archive-write", "archive-read", "loader", NULL /* the main thread */};

/* Of each act in each thread: Killed, Refused, or Well; '-' is not tried. */
static const struct act {
    const char *name;
    int (*act)(void);
    char outcomes[KINDS + 1];
} acts[] = {
    {"a program", run_program, "KKKKKKKK"},
    {"a program by descriptor", run_program_by_descriptor, "KKKKKKKK"},
    {"a program in its thread", run_program_in_child_thread, "K-----KK"},
    {"a process", start_process, "KKKKKKKK"},
    {"a process by clone3", start_process_anew, "RRRRRRRR"},
    {"ptrace", look_into_others, "KKKKKKKK"},
    {"memory of others", read_others, "KKKKKKKK"},
    {"a mount", mount_something, "KKKKKKKK"},
    {"a signal", kill_others, "RRRRRRRR"},
    {"the priority of others", yield_for_others, "RRRRRRRR"},
    {"a limit", raise_a_limit, "RRRRRRRR"},
    {"dumps", take_dumps, "RRRRRRRR"},
    {"a ring", make_ring, "RRRRRRRR"},
    {"a file in memory", make_file_in_memory, "RRRRRRRR"},
    {"faults", handle_faults, "RRRRRRRR"},
    {"keys", read_keys, "RRRRRRRR"},
    {"new code", make_code, "RRRRRRRR"},
    {"code from data", turn_into_code, "RRRRRRRR"},
    {"code from data by a key", turn_into_code_by_key, "RRRRRRRR"},
    {"a socket", make_socket, "RRRRRRRR"},
    {"connecting", connect_out, "RRRRRRRR"},
    {"a pair of datagrams", make_pair_of_datagrams, "RRRRRRRR"},
    {"a pair of streams", make_pair_of_streams, "RRRRRRRW"},
    {"a connection", accept_connection, "RRRRRRRW"},
    {"a file", read_file, "RRRRWWWW"},
    {"the system's users", write_users, "RRRRRRRR"},
    {"a file elsewhere", write_outside, "RRRRRRRR"},
    {"its file", write_inside, "RRRRWWRW"},
    {"a thread", start_thread, "WRRRRRWW"},
    {"its work", compute, "WWWWWWWW"},
    {"a core", leave_a_core, "------RR"},
};

struct row {
    const struct act *act;
    const char *thread;
};

/* ---- children ---- */

static void *act_there(void *row)
{
    return ((const struct row *)row)->act->act() ? row : NULL;
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
        return row->act->act() != 0;
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

static char letter_of(int status)
{
    if (WIFSIGNALED(status)) {
        return WTERMSIG(status) == SIGSYS ? 'K' : '?';
    }
    return WEXITSTATUS(status) == 0 ? 'W' : WEXITSTATUS(status) == 1 ? 'R' : '?';
}

static void test_acts(void)
{
    for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++) {
        char outcomes[KINDS + 1] = "";
        for (int k = 0; k < KINDS; k++) {
            const struct row row = {&acts[i], threads[k]};
            outcomes[k] = acts[i].outcomes[k] == '-' ? '-' : letter_of(status_of(child, &row));
        }
        if (strcmp(outcomes, acts[i].outcomes) != 0) {
            fprintf(stderr, "%s: ", acts[i].name);
        }
        CHECK_STR(outcomes, acts[i].outcomes);
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
    static const struct act work = {"its work", compute, ""};
    const struct row nothing_to_do = {&work, NULL};
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
        test_acts();
        CHECK_INT(status_of(child_that_reads, NULL), 0);
        CHECK_INT(status_of(child_without, NULL), 0);
        const struct row is_required = {acts, NULL};
        CHECK_INT(status_of(child_without, &is_required), 0);
    } else {
        fprintf(stderr, "no sandbox here: nothing tested\n");
    }
    CHECK(access(outside, F_OK) != 0);
    unlink(inside);
    rmdir(folder);
    return check_result();
}
