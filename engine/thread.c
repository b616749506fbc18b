#include "engine/thread.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

enum err thread_start(pthread_t *out, const char *name, void *(*run)(void *), void *arg)
{
    sigset_t all, before;
    sigfillset(&all);
    sigdelset(&all, SIGSEGV); /* faults of the thread itself must not be held back */
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGILL);
    sigdelset(&all, SIGABRT);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(out, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0) {
        return ERR_NOMEM;
    }
    pthread_setname_np(*out, name);
    return OK;
}

void thread_yield_to_others(int nice)
{
    if (nice > 0) {
        setpriority(PRIO_PROCESS, (id_t)gettid(), nice);
    }
}
