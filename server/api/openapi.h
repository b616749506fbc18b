/* openapi - the contract served as /openapi.json; generated from server/api/openapi.json by the build.
 *
 * Threads: constants. */
#ifndef SERVER_OPENAPI_H
#define SERVER_OPENAPI_H

#include <stddef.h>

extern const char openapi_json[];
extern const size_t openapi_json_bytes;

#endif
