/* FNV-1a against the published values. */
#include "engine/base/hash.h"

#include "tests/support/check.h"

int main(void)
{
    static const struct {
        const char *bytes;
        size_t n;
        uint64_t hash;
    } known[] = {{"", 0, 0xcbf29ce484222325},
                 {"a", 1, 0xaf63dc4c8601ec8c},
                 {"foobar", 6, 0x85944171f73967e8},
                 {"", 1, 0xaf63bd4c8601b7df},
                 {"a\0b", 3, 0xe5d29919042666b2}};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        CHECK(hash_bytes(known[i].bytes, known[i].n) == known[i].hash);
        CHECK(strlen(known[i].bytes) != known[i].n || hash_text(known[i].bytes) == known[i].hash);
    }
    CHECK(hash_bytes("\xff", 1) == (14695981039346656037U ^ 0xff) * 1099511628211U); /* bytes, not signed characters */
    return check_result();
}
