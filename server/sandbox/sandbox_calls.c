/* The filters are made once, by libseccomp, and kept as programs for the kernel, because a thread that binds itself
 * should need nothing but one system call. A thread inherits the filters of the one that started it and all of them
 * must agree: the filter of the process allows what any thread needs, the loader's what the engine's threads need.
 *
 * clone3 is not listed: its flags lie in memory, where a filter cannot look; the C library falls back to clone. */
#include "engine/base/mem.h"
#include "server/sandbox/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <seccomp.h>

enum group {
    WORK = 1,     /* to compute, wait, and use descriptors that are open */
    THREADS = 2,  /* to start threads */
    READ = 4,     /* to open files for reading */
    WRITE = 8,    /* to open files for writing */
    SOCKETS = 16, /* to accept and serve connections */
    CODE = 32,    /* to load libraries */
    BIND = 64,    /* to bind threads that this one starts */
    ALL = 127
};

/* By how a thread's name begins; the first is the process. */
static const struct kind {
    const char *name;
    unsigned groups;
    bool is_confined;
} kinds[] = {
    {"", ALL, false},
    {"decode-", WORK | THREADS, true},
    {"engine-", WORK, true},
    {"side", WORK, true},
    {"log", WORK, true},
    {"archive-", WORK | READ | WRITE, false},
    {"loader", WORK | READ | THREADS | CODE | BIND, false},
};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]), MAX_STEPS = 4096 };

/* ---- which call belongs to what ---- */

static const struct call {
    int number;
    unsigned groups; /* any of them allows it */
} calls[] = {
    {SCMP_SYS(brk), WORK},
    {SCMP_SYS(munmap), WORK},
    {SCMP_SYS(mremap), WORK},
    {SCMP_SYS(madvise), WORK},
    {SCMP_SYS(mbind), WORK},
    {SCMP_SYS(futex), WORK},
    {SCMP_SYS(membarrier), WORK},
    {SCMP_SYS(sched_yield), WORK},
    {SCMP_SYS(sched_getaffinity), WORK},
    {SCMP_SYS(getcpu), WORK},
    {SCMP_SYS(sysinfo), WORK},
    {SCMP_SYS(nanosleep), WORK},
    {SCMP_SYS(clock_nanosleep), WORK},
    {SCMP_SYS(clock_gettime), WORK},
    {SCMP_SYS(clock_getres), WORK},
    {SCMP_SYS(gettimeofday), WORK},
    {SCMP_SYS(time), WORK},
    {SCMP_SYS(getrandom), WORK},
    {SCMP_SYS(getpid), WORK},
    {SCMP_SYS(gettid), WORK},
    {SCMP_SYS(getpriority), WORK},
    {SCMP_SYS(restart_syscall), WORK},
    {SCMP_SYS(exit), WORK},
    {SCMP_SYS(exit_group), WORK},
    {SCMP_SYS(rt_sigreturn), WORK},
    {SCMP_SYS(rt_sigprocmask), WORK},
    {SCMP_SYS(rt_sigaction), WORK},
    {SCMP_SYS(sigaltstack), WORK},
    {SCMP_SYS(read), WORK},
    {SCMP_SYS(readv), WORK},
    {SCMP_SYS(write), WORK},
    {SCMP_SYS(writev), WORK},
    {SCMP_SYS(close), WORK},
    {SCMP_SYS(fstat), WORK},
    {SCMP_SYS(lseek), WORK},
    {SCMP_SYS(poll), WORK},
    {SCMP_SYS(ppoll), WORK},

    {SCMP_SYS(set_robust_list), THREADS},
    {SCMP_SYS(rseq), THREADS},

    {SCMP_SYS(access), READ},
    {SCMP_SYS(faccessat), READ},
    {SCMP_SYS(faccessat2), READ},
    {SCMP_SYS(stat), READ},
    {SCMP_SYS(lstat), READ},
    {SCMP_SYS(newfstatat), READ},
    {SCMP_SYS(statx), READ},
    {SCMP_SYS(statfs), READ},
    {SCMP_SYS(fstatfs), READ},
    {SCMP_SYS(readlink), READ},
    {SCMP_SYS(readlinkat), READ},
    {SCMP_SYS(getcwd), READ},
    {SCMP_SYS(getdents64), READ},
    {SCMP_SYS(pread64), READ},
    {SCMP_SYS(preadv), READ},
    {SCMP_SYS(fadvise64), READ},
    {SCMP_SYS(fcntl), READ | SOCKETS},
    {SCMP_SYS(uname), READ},
    {SCMP_SYS(getuid), READ},
    {SCMP_SYS(geteuid), READ},
    {SCMP_SYS(getgid), READ},
    {SCMP_SYS(getegid), READ},

    {SCMP_SYS(pwrite64), WRITE},
    {SCMP_SYS(pwritev), WRITE},
    {SCMP_SYS(ftruncate), WRITE},
    {SCMP_SYS(fallocate), WRITE},
    {SCMP_SYS(fsync), WRITE},
    {SCMP_SYS(fdatasync), WRITE},
    {SCMP_SYS(unlink), WRITE},
    {SCMP_SYS(unlinkat), WRITE},
    {SCMP_SYS(rename), WRITE},
    {SCMP_SYS(fchmod), WRITE},
    {SCMP_SYS(fchown), WRITE},

    {SCMP_SYS(accept), SOCKETS},
    {SCMP_SYS(accept4), SOCKETS},
    {SCMP_SYS(sendto), SOCKETS},
    {SCMP_SYS(sendmsg), SOCKETS},
    {SCMP_SYS(recvfrom), SOCKETS},
    {SCMP_SYS(recvmsg), SOCKETS},
    {SCMP_SYS(shutdown), SOCKETS},
    {SCMP_SYS(setsockopt), SOCKETS},
    {SCMP_SYS(getsockopt), SOCKETS},
    {SCMP_SYS(getsockname), SOCKETS},
    {SCMP_SYS(getpeername), SOCKETS},
    {SCMP_SYS(epoll_create1), SOCKETS},
    {SCMP_SYS(epoll_ctl), SOCKETS},
    {SCMP_SYS(epoll_wait), SOCKETS},
    {SCMP_SYS(epoll_pwait), SOCKETS},
    {SCMP_SYS(eventfd2), SOCKETS},
    {SCMP_SYS(pipe2), SOCKETS},
    {SCMP_SYS(dup), SOCKETS},
    {SCMP_SYS(dup3), SOCKETS},
    {SCMP_SYS(getrusage), SOCKETS},

    {SCMP_SYS(seccomp), BIND},
    {SCMP_SYS(landlock_restrict_self), BIND},
    {SCMP_SYS(capget), BIND},
    {SCMP_SYS(capset), BIND},
};

/* Nothing of ours or of the libraries ever calls these. */
static const int deadly[] = {
    SCMP_SYS(execve),
    SCMP_SYS(execveat),
    SCMP_SYS(fork),
    SCMP_SYS(vfork),
    SCMP_SYS(ptrace),
    SCMP_SYS(process_vm_readv),
    SCMP_SYS(process_vm_writev),
    SCMP_SYS(bpf),
    SCMP_SYS(mount),
    SCMP_SYS(umount2),
    SCMP_SYS(pivot_root),
    SCMP_SYS(chroot),
    SCMP_SYS(setns),
    SCMP_SYS(unshare),
    SCMP_SYS(init_module),
    SCMP_SYS(finit_module),
    SCMP_SYS(setuid),
    SCMP_SYS(setgid),
    SCMP_SYS(setresuid),
    SCMP_SYS(kexec_load),
};

/* Conditions on an argument, counted from 0; the library's macros leave a member to chance. */
static struct scmp_arg_cmp equal(unsigned argument, uint64_t value)
{
    return (struct scmp_arg_cmp){.arg = argument, .op = SCMP_CMP_EQ, .datum_a = value};
}

static struct scmp_arg_cmp masked(unsigned argument, uint64_t mask, uint64_t value)
{
    return (struct scmp_arg_cmp){argument, SCMP_CMP_MASKED_EQ, mask, value};
}

/* Calls that are allowed with some arguments only. */
static int add_by_argument(scmp_filter_ctx c, unsigned groups)
{
    const uint32_t allow = SCMP_ACT_ALLOW;
    const uint64_t writing = O_ACCMODE | O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY), code = PROT_EXEC,
                   both = PROT_EXEC | PROT_WRITE;
    int rc = seccomp_rule_add(c, allow, SCMP_SYS(tgkill), 1, equal(0, (uint64_t)getpid()));
    rc = rc ? rc : seccomp_rule_add(c, allow, SCMP_SYS(setpriority), 1, equal(0, PRIO_PROCESS));
    rc = rc ? rc : seccomp_rule_add(c, allow, SCMP_SYS(sched_getattr), 1, equal(0, 0)); /* the thread's own */
    rc = rc ? rc : seccomp_rule_add(c, allow, SCMP_SYS(sched_setattr), 1, equal(0, 0));
    rc = rc ? rc : seccomp_rule_add(c, allow, SCMP_SYS(prctl), 1, equal(0, PR_SET_NAME));
    rc = rc ? rc : seccomp_rule_add(c, allow, SCMP_SYS(mmap), 1, masked(2, code, 0));
    rc = rc ? rc : seccomp_rule_add(c, allow, SCMP_SYS(mprotect), 1, masked(2, code, 0));
    rc = rc ? rc : seccomp_rule_add(c, SCMP_ACT_KILL_PROCESS, SCMP_SYS(clone), 1, masked(0, CLONE_THREAD, 0));
    if (!rc && groups & THREADS) {
        rc = seccomp_rule_add(c, allow, SCMP_SYS(clone), 1, masked(0, CLONE_THREAD, CLONE_THREAD));
    }
    if (!rc && groups & (THREADS | READ)) { /* to ask, not to change */
        rc = seccomp_rule_add(c, allow, SCMP_SYS(prlimit64), 1, equal(2, 0));
    }
    if (!rc && groups & CODE) { /* never what can be written too */
        rc = seccomp_rule_add(c, allow, SCMP_SYS(mmap), 1, masked(2, both, PROT_EXEC));
    }
    if (!rc && groups & WRITE) {
        rc = seccomp_rule_add(c, allow, SCMP_SYS(openat), 0);
        rc = rc ? rc : seccomp_rule_add(c, allow, SCMP_SYS(open), 0);
    } else if (!rc && groups & READ) {
        rc = seccomp_rule_add(c, allow, SCMP_SYS(openat), 1, masked(2, writing, O_RDONLY));
        rc = rc ? rc : seccomp_rule_add(c, allow, SCMP_SYS(open), 1, masked(1, writing, O_RDONLY));
    }
    if (!rc && groups & SOCKETS) {
        /* The pairs that libmicrohttpd sits behind (one for datagrams could send to any UNIX socket), and how sockets
           are told not to block. */
        rc = seccomp_rule_add(c, allow, SCMP_SYS(socketpair), 2, equal(0, AF_UNIX), masked(1, 15, SOCK_STREAM));
        rc = rc ? rc : seccomp_rule_add(c, allow, SCMP_SYS(ioctl), 1, equal(1, FIONBIO));
        rc = rc ? rc : seccomp_rule_add(c, allow, SCMP_SYS(ioctl), 1, equal(1, FIONREAD));
    }
    if (!rc && !(groups & READ)) { /* fstat of the C library; not by name */
        rc = seccomp_rule_add(c, allow, SCMP_SYS(newfstatat), 1, equal(3, AT_EMPTY_PATH));
    }
    return rc;
}

/* ---- the filters ---- */

static struct sock_filter steps[KINDS][MAX_STEPS];
static unsigned short n_steps[KINDS];

static int fill(scmp_filter_ctx c, unsigned groups)
{
    int rc = seccomp_attr_set(c, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    rc = rc ? rc : seccomp_attr_set(c, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree, not a list */
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]) && rc == 0; i++) {
        rc = calls[i].groups & groups ? seccomp_rule_add(c, SCMP_ACT_ALLOW, calls[i].number, 0) : 0;
    }
    for (size_t i = 0; i < sizeof(deadly) / sizeof(deadly[0]) && rc == 0; i++) {
        rc = seccomp_rule_add(c, SCMP_ACT_KILL_PROCESS, deadly[i], 0);
    }
    return rc ? rc : add_by_argument(c, groups);
}

/* As a program; the library writes it to a descriptor only. */
static int compile(scmp_filter_ctx c, int kind)
{
    int fd = memfd_create("filter", MFD_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    int rc = seccomp_export_bpf(c, fd);
    ssize_t n = rc ? 0 : pread(fd, steps[kind], sizeof(steps[kind]), 0);
    close(fd);
    BUG_ON(!rc && (n <= 0 || (size_t)n == sizeof(steps[kind])));
    n_steps[kind] = (unsigned short)((size_t)n / sizeof(steps[kind][0]));
    return rc;
}

static int make(int kind, bool can_write)
{
    unsigned groups = kinds[kind].groups & (can_write ? ALL : ALL & ~(unsigned)WRITE);
    scmp_filter_ctx c = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
    if (!c) {
        return -ENOMEM;
    }
    int rc = fill(c, groups);
    rc = rc ? rc : compile(c, kind);
    seccomp_release(c);
    return rc;
}

static long install(int kind, unsigned flags)
{
    const struct sock_fprog program = {.len = n_steps[kind], .filter = steps[kind]};
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

enum err sandbox_calls_close(bool can_write, struct errbuf *e)
{
    for (int i = 0; i < KINDS; i++) {
        int rc = make(i, can_write);
        if (rc) {
            return err_set(e, ERR_BAD_CONFIG, "seccomp: making a filter: %s", strerrordesc_np(-rc));
        }
    }
    long rc = install(0, SECCOMP_FILTER_FLAG_TSYNC); /* libraries may have started threads of their own */
    if (rc != 0) {
        return err_set(e, ERR_BAD_CONFIG, "seccomp: %s",
                       rc > 0 ? "a thread has a filter of its own" : strerrordesc_np(errno));
    }
    return OK;
}

int sandbox_calls_kind(const char *thread_name, bool *is_confined)
{
    int kind = KINDS - 1;
    while (kind > 0 && strncmp(thread_name, kinds[kind].name, strlen(kinds[kind].name)) != 0) {
        kind--;
    }
    *is_confined = kinds[kind].is_confined;
    return kind;
}

enum err sandbox_calls_enter(int kind)
{
    return kind == 0 || install(kind, 0) == 0 ? OK : ERR_INTERNAL;
}
