#include "engine/base/thread.h"

#include <errno.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Turns on a processor. The kernel's own are 0.7 to 2.8 ms. */
enum { PROMPT_NS = 100000, LONG_NS = 4000000 };

static enum err (*guard)(const char *name);

struct beginning {
    const char *name;
    void *(*run)(void *);
    void *arg;
    enum err rc;
    sem_t told; /* rc is there, and the rest is not needed any more */
};

/* struct sched_attr of sched_setattr(2), for which the C library has neither a function nor, beside its own headers, a
 * type. */
struct attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime_ns, deadline_ns, period_ns;
};

static bool get_attributes(struct attributes *out)
{
    *out = (struct attributes){.size = sizeof(*out)};
    return syscall(SYS_sched_getattr, 0, out, sizeof(*out), 0) == 0;
}

/* Linux 6.12 and later: a thread with shorter turns takes the processor from one with longer ones as soon as it wakes,
 * and not at the next tick; shares stay what they are. Earlier kernels take no notice. 0: the kernel's own. */
static void set_turns(uint64_t ns)
{
    struct attributes a;
    if (get_attributes(&a) && a.policy == SCHED_OTHER) {
        a.runtime_ns = ns;
        syscall(SYS_sched_setattr, 0, &a, 0);
    }
}

static void *begin(void *user)
{
    struct beginning *b = user;
    void *(*run)(void *) = b->run;
    void *arg = b->arg;
    pthread_setname_np(pthread_self(), b->name);
    set_turns(0); /* not those of the thread that started it */
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

void thread_answer_promptly(void)
{
    set_turns(PROMPT_NS);
}

void thread_yield_to_others(int nice)
{
    enum { NICEST = 19 };
    set_turns(LONG_NS);
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
