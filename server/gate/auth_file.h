/* auth_file - the text of a key file: see auth.h for the format.
 *
 * Ownership: the keys are the caller's (mem_free). Threads: any. Errors: ERR_BAD_CONFIG with file, line and what to
 * write instead. */
#ifndef SERVER_GATE_AUTH_FILE_H
#define SERVER_GATE_AUTH_FILE_H

#include "server/gate/auth.h"

MUST_USE enum err auth_file_read(const char *path, struct auth_key **keys, int *n_keys, struct errbuf *e);
/* One line, neither empty nor a comment. False with what is wrong. */
bool auth_file_line(const char *line, struct auth_key *k, char *problem, size_t n_problem);

#endif
