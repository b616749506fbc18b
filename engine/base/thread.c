#include "engine/base/thread.h"

#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

static enum err (*guard)(const char *name);

struct beginning {
    const char *name;
    void *(*run)(void *);
    void *arg;
    enum err rc;
    sem_t told; /* rc is there, and the rest is not needed any more */
};

static void *begin(void *user)
{
    struct beginning *b = user;
    void *(*run)(void *) = b->run;
    void *arg = b->arg;
    pthread_setname_np(pthread_self(), b->name);
    enum err rc = b->rc = guard ? guard(b->name) : OK;
    sem_post(&b->told);
    return rc ? NULL : run(arg);
}

/* Faults of the thread itself must not be held back. */
static void others_signals(sigset_t *set)
{
    sigfillset(set);
    sigdelset(set, SIGSEGV);
    sigdelset(set, SIGBUS);
    sigdelset(set, SIGFPE);
    sigdelset(set, SIGILL);
    sigdelset(set, SIGABRT);
    sigdelset(set, SIGSYS);
}

enum err thread_start(pthread_t *out, const char *name, void *(*run)(void *), void *arg)
{
    sigset_t others, before;
    struct beginning b = {.name = name, .run = run, .arg = arg};
    sem_init(&b.told, 0, 0);
    others_signals(&others);
    pthread_sigmask(SIG_SETMASK, &others, &before);
    int failed = pthread_create(out, NULL, begin, &b);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    enum err rc = ERR_NOMEM;
    if (!failed) {
        while (sem_wait(&b.told) != 0 && errno == EINTR) {
        }
        rc = b.rc;
        if (rc) {
            pthread_join(*out, NULL);
        }
    }
    sem_destroy(&b.told);
    return rc;
}

void thread_set_guard(enum err (*fresh)(const char *name))
{
    guard = fresh;
}

void thread_yield_to_others(int nice)
{
    enum { NICEST = 19 };
    if (nice > 0) { /* added to what the service was started with, which must not make it more urgent */
        int sum = getpriority(PRIO_PROCESS, (id_t)gettid()) + nice;
        setpriority(PRIO_PROCESS, (id_t)gettid(), sum < NICEST ? sum : NICEST);
    }
}

void thread_join(pthread_t thread)
{
    int failed = pthread_join(thread, NULL);
    BUG_ON(failed);
}
