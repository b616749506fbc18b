/* sandbox - what the process can still do once it listens, should somebody take it over through the bytes it reads.
 *
 *     system calls   seccomp-bpf: those of sandbox_calls.c by kind of thread. Starting a program, another process,
 *                    looking into others: the process is killed (SIGSYS). All else that is not listed is refused
 *                    (ENOSYS, on which the C library falls back to an older call where it has one).
 *     files          Landlock: folders that may be read, those that may be written; nothing may be run, no TCP
 *                    connection made, no signal sent to others. Threads that look at what clients sent see no file.
 *     privileges     none can be gained (no_new_privs); capabilities go, but for those of root's files in threads that
 *                    open files; no core dumps.
 *
 * Threads that thread_start makes afterwards bind themselves by their name, before their work, for good:
 *
 *     decode-N, and the threads that decoders start    memory, locks, clocks, descriptors that are open
 *     engine-N, side, log                              the same, and no thread
 *     archive-*                                        files too, no sockets, no threads
 *     loader                                           reading files and starting threads, no sockets
 *     the loop, and all that is not named here         sockets that it has or accepts; files
 *
 * A build with sanitizers or coverage (MINIVLM_INSTRUMENTED) has no sandbox: these write files and trace at the end.
 *
 * Ownership: text is copied or used at once. Threads: sandbox_close is called once, by the main thread, before others
 * are started; the state is constant afterwards. Errors: ERR_BAD_CONFIG with the remedy. */
#ifndef SERVER_SANDBOX_SANDBOX_H
#define SERVER_SANDBOX_SANDBOX_H

#include "engine/base/err.h"

enum { SANDBOX_FOLDERS = 8 };

struct sandbox_options {
    bool is_required;                      /* else what the kernel lacks is left out */
    const char *read;                      /* folders that may be read, separated by ':'; "/": all */
    const char *read_too[SANDBOX_FOLDERS]; /* files or folders besides; NULL and "" are passed over */
    const char *write[SANDBOX_FOLDERS];    /* files whose folders may be written */
};

struct sandbox_state {
    bool has_calls, has_files, has_privileges; /* bound */
    int landlock_abi;                          /* 0: none */
    char missing[ERRBUF_MAX];                  /* why something is not bound; "" */
};

/* Binds the process. */
MUST_USE enum err sandbox_close(const struct sandbox_options *o, struct sandbox_state *out, struct errbuf *e);

/* Whether a file could be opened but for the sandbox: for the remedy in a message. */
bool sandbox_hides(const char *path);

/* ---- sandbox_calls.c: seccomp ---- */

/* The filters of all kinds; the process' own is in force when this returns. can_write: some thread writes files. */
MUST_USE enum err sandbox_calls_close(bool can_write, struct errbuf *e);
/* The kind of a thread. *is_confined: it needs no files. */
int sandbox_calls_kind(const char *thread_name, bool *is_confined);
/* By a new thread, when it has bound the rest: this forbids the calls for that. */
MUST_USE enum err sandbox_calls_enter(int kind);

/* ---- sandbox_files.c: Landlock ---- */

/* Binds the calling thread and those it starts. *abi: what the kernel has. */
MUST_USE enum err sandbox_files_close(const struct sandbox_options *o, int *abi, struct errbuf *e);
/* The calling thread opens no file any more. Only after sandbox_files_close. */
MUST_USE enum err sandbox_files_enter(void);

/* ---- sandbox_privileges.c ---- */

MUST_USE enum err sandbox_privileges_close(struct errbuf *e);
/* The calling thread has no capability. */
MUST_USE enum err sandbox_privileges_enter(void);

#endif
