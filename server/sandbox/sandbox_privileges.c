/* Capabilities belong to a thread; those started later inherit what their starter has. Root keeps what makes files of
 * other owners readable and writable: certificates and collections have worked so since the start. */
#include "server/sandbox/sandbox.h"

#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static const unsigned kept[] = {CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER};

static int keep(bool files)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3], fresh[_LINUX_CAPABILITY_U32S_3];
    memset(fresh, 0, sizeof(fresh));
    if (syscall(SYS_capget, &head, sets) != 0) {
        return -1;
    }
    for (size_t i = 0; files && i < sizeof(kept) / sizeof(kept[0]); i++) {
        unsigned word = kept[i] / 32, bit = 1U << kept[i] % 32;
        fresh[word].permitted |= sets[word].permitted & bit;
        fresh[word].effective |= sets[word].effective & bit;
    }
    return (int)syscall(SYS_capset, &head, fresh);
}

enum err sandbox_privileges_close(struct errbuf *e)
{
    const struct rlimit none = {0, 0};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return err_set(e, ERR_BAD_CONFIG, "no_new_privs: %s", strerrordesc_np(errno));
    }
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); /* a kernel without them has none to clear */
    if (keep(true) != 0 || setrlimit(RLIMIT_CORE, &none) != 0) {
        return err_set(e, ERR_BAD_CONFIG, "capabilities: %s", strerrordesc_np(errno));
    }
    return OK;
}

enum err sandbox_privileges_enter(void)
{
    return keep(false) == 0 ? OK : ERR_INTERNAL;
}
