/* sandbox - limits what the process can do once it listens, in case an attacker takes it over through its input.
 *
 *     system calls   seccomp-bpf: those of sandbox_calls.c by kind of thread. Starting a program or another process, or
 *                    inspecting others, kills the process (SIGSYS). Any other unlisted call is refused (ENOSYS, on
 *                    which the C library falls back to an older call if it has one).
 *     files          Landlock: folders that may be read and folders that may be written; no programs run, no TCP
 *                    connections, no signals to other processes. Threads that process client data see no files.
 *     privileges     none can be gained (no_new_privs); capabilities are dropped, except those for root's files in
 *                    threads that open files; no core dumps.
 *
 * Threads started by thread_start afterwards restrict themselves permanently, by their name, before they work:
 *
 *     decode-N, and the threads that decoders start    memory, locks, clocks, open descriptors
 *     engine-N, side, log                              the same, but no threads
 *     archive-*                                        also files; no sockets, no threads
 *     loader                                           reading files and starting threads; no sockets
 *     the loop, and all not named here                 sockets that it has or accepts; files
 *
 * A build with sanitizers or coverage (MINIVLM_INSTRUMENTED) has no sandbox: these write files and trace at exit.
 *
 * Ownership: text is copied or used at once. Threads: sandbox_close is called once, by the main thread, before others
 * are started; the state is constant afterwards. Errors: ERR_BAD_CONFIG with the remedy. */
#ifndef SERVER_SANDBOX_SANDBOX_H
#define SERVER_SANDBOX_SANDBOX_H

#include "engine/base/err.h"

enum { SANDBOX_FOLDERS = 8 };

struct sandbox_options {
    bool is_required;                      /* false: whatever the kernel lacks is skipped */
    const char *read;                      /* folders that may be read, separated by ':'; "/": all */
    const char *read_too[SANDBOX_FOLDERS]; /* additional files or folders; NULL and "" are skipped */
    const char *write[SANDBOX_FOLDERS];    /* files whose folders may be written */
};

struct sandbox_state {
    bool has_calls, has_files, has_privileges; /* bound */
    int landlock_abi;                          /* 0: none */
    char missing[ERRBUF_MAX];                  /* why something is not restricted; "" */
};

/* Restricts the process. */
MUST_USE enum err sandbox_close(const struct sandbox_options *o, struct sandbox_state *out, struct errbuf *e);

/* Whether a file could be opened without the sandbox: for the remedy in a message. */
bool sandbox_hides(const char *path);

/* ---- sandbox_calls.c: seccomp ---- */

/* Prepares the filters of all kinds; the process's own is in force when this returns. can_write: some thread writes
 * files. */
MUST_USE enum err sandbox_calls_close(bool can_write, struct errbuf *e);
/* The kind of a thread. *is_confined: it needs no files. */
int sandbox_calls_kind(const char *thread_name, bool *is_confined);
/* Called by a new thread as its last restriction: this one forbids the calls needed for the others. */
MUST_USE enum err sandbox_calls_enter(int kind);

/* ---- sandbox_files.c: Landlock ---- */

/* Restricts the calling thread and those it starts. *abi: the kernel's version. */
MUST_USE enum err sandbox_files_close(const struct sandbox_options *o, int *abi, struct errbuf *e);
/* The calling thread can open no more files. Only after sandbox_files_close. */
MUST_USE enum err sandbox_files_enter(void);

/* ---- sandbox_privileges.c ---- */

MUST_USE enum err sandbox_privileges_close(struct errbuf *e);
/* The calling thread drops all capabilities. */
MUST_USE enum err sandbox_privileges_enter(void);

#endif
