/* Landlock by its system calls: the C library of Debian 12 has no functions for them, and its headers end before the
 * later rights, which the kernel takes or leaves by its version
 * (https://docs.kernel.org/userspace-api/landlock.html). */
#include "server/sandbox/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* struct landlock_ruleset_attr of the newest kernels; older ones take zeros at its end. */
struct ruleset {
    uint64_t files, net, scopes;
};

enum { RIGHT_TRUNCATE = 14, RIGHT_IOCTL_DEVICE = 15, BASE_RIGHTS = 13 };
static const uint64_t read_rights = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR,
                      write_rights = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR |
                                     LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_FILE |
                                     LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK | 1U << RIGHT_TRUNCATE,
                      file_rights = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE |
                                    LANDLOCK_ACCESS_FS_EXECUTE | 1U << RIGHT_TRUNCATE | 1U << RIGHT_IOCTL_DEVICE;

static int nothing = -1; /* a ruleset that allows nothing, for threads that need no files; never closed */

/* Everything that the kernel can forbid. */
static struct ruleset all_of(int abi)
{
    struct ruleset r = {.files = (1U << BASE_RIGHTS) - 1};
    r.files |= abi >= 2 ? LANDLOCK_ACCESS_FS_REFER : 0;
    r.files |= abi >= 3 ? 1U << RIGHT_TRUNCATE : 0;
    r.files |= abi >= 5 ? 1U << RIGHT_IOCTL_DEVICE : 0;
    r.net = abi >= 4 ? 3 : 0;    /* to bind a TCP port, to connect to one */
    r.scopes = abi >= 6 ? 3 : 0; /* abstract unix sockets, signals to others */
    return r;
}

static int create(const struct ruleset *r)
{
    return (int)syscall(SYS_landlock_create_ruleset, r, sizeof(*r), 0);
}

/* What is not there now cannot be allowed. */
static int allow(int rules, const struct ruleset *all, const char *path, uint64_t rights)
{
    struct stat st;
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0) {
        return 0;
    }
    struct landlock_path_beneath_attr beneath = {.allowed_access = rights & all->files, .parent_fd = fd};
    if (fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode)) {
        beneath.allowed_access &= file_rights;
    }
    int rc = (int)syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0);
    close(fd);
    return rc;
}

/* The folder in which a file stands or will stand; of a link also that of what it leads to. */
static int allow_folder_of(int rules, const struct ruleset *all, const char *file, uint64_t rights)
{
    char path[PATH_MAX], real[PATH_MAX];
    int rc = 0;
    const char *const names[] = {file, realpath(file, real)};
    for (size_t i = 0; i < 2 && names[i] && rc == 0; i++) {
        snprintf(path, sizeof(path), "%s", names[i]);
        char *slash = strrchr(path, '/');
        if (slash) {
            slash[slash == path] = '\0';
        }
        rc = allow(rules, all, slash ? path : ".", rights);
    }
    return rc;
}

/* Each folder of a list with ':' between. */
static int allow_list(int rules, const struct ruleset *all, const char *list)
{
    char path[PATH_MAX];
    int rc = 0;
    for (const char *next; *list && rc == 0; list = next + (*next == ':')) {
        next = strchrnul(list, ':');
        if (next > list) {
            snprintf(path, sizeof(path), "%.*s", (int)(next - list), list);
            rc = allow(rules, all, path, read_rights);
        }
    }
    return rc;
}

static int fill(int rules, const struct ruleset *all, const struct sandbox_options *o)
{
    static const char *const always[] = {"/dev/null", "/dev/urandom", "/proc", "/sys/fs/cgroup", "/etc/gnutls"};
    int rc = allow_list(rules, all, o->read);
    for (size_t i = 0; i < sizeof(always) / sizeof(always[0]) && rc == 0; i++) {
        rc = allow(rules, all, always[i], read_rights);
    }
    for (int i = 0; i < SANDBOX_FOLDERS && rc == 0; i++) {
        if (o->read_too[i] && o->read_too[i][0]) {
            rc = allow_folder_of(rules, all, o->read_too[i], read_rights);
        }
        if (rc == 0 && o->write[i] && o->write[i][0]) {
            rc = allow_folder_of(rules, all, o->write[i], write_rights);
        }
    }
    return rc;
}

static enum err failed(const char *what, struct errbuf *e)
{
    return err_set(e, ERR_BAD_CONFIG, "Landlock: %s: %s", what, strerrordesc_np(errno));
}

enum err sandbox_files_close(const struct sandbox_options *o, int *abi, struct errbuf *e)
{
    *abi = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (*abi < 1) {
        *abi = 0;
        return err_set(e, ERR_BAD_CONFIG, "the kernel has no Landlock (%s)", strerrordesc_np(errno));
    }
    const struct ruleset all = all_of(*abi);
    int rules = create(&all);
    nothing = create(&all);
    enum err rc = rules < 0 || nothing < 0 ? failed("making the rules", e) : OK;
    if (!rc && fill(rules, &all, o) != 0) {
        rc = failed("adding a rule", e);
    }
    if (!rc && syscall(SYS_landlock_restrict_self, rules, 0) != 0) {
        rc = failed("beginning", e);
    }
    if (rules >= 0) {
        close(rules);
    }
    return rc;
}

bool sandbox_hides(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool is_hidden = fd < 0 && errno == EACCES && access(path, R_OK) == 0; /* which Landlock does not look at */
    if (fd >= 0) {
        close(fd);
    }
    return is_hidden;
}

enum err sandbox_files_enter(void)
{
    return syscall(SYS_landlock_restrict_self, nothing, 0) == 0 ? OK : ERR_INTERNAL;
}
