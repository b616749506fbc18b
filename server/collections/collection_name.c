#include "engine/base/utf8.h"
#include "server/collections/collection_private.h"

#include <string.h>

static bool is_name_byte(unsigned char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

enum err collection_name_check(struct collection_text name, struct errbuf *e)
{
    if (name.n < 1 || name.n > COLLECTION_NAME_MAX) {
        return err_set(e, ERR_BAD_REQUEST, "the collection's name has %zu bytes; allowed are 1 to %d", name.n,
                       COLLECTION_NAME_MAX);
    }
    for (size_t i = 0; i < name.n; i++) {
        if (!is_name_byte((unsigned char)name.text[i])) {
            return err_set(
                e, ERR_BAD_REQUEST,
                "byte %zu of the collection's name is not a letter of A-Z or a-z, a digit, an underscore or a hyphen",
                i);
        }
    }
    return OK;
}

enum err collection_name_check_key(struct collection_text key, struct errbuf *e)
{
    if (key.n < 1 || key.n > COLLECTION_KEY_MAX) {
        return err_set(e, ERR_BAD_REQUEST, "the image's key has %zu bytes; allowed are 1 to %d", key.n,
                       COLLECTION_KEY_MAX);
    }
    for (size_t i = 0; i < key.n;) {
        uint32_t c;
        size_t size = utf8_next(key.text + i, key.n - i, &c);
        if (size == 0) {
            return err_set(e, ERR_BAD_REQUEST, "the image's key is not valid UTF-8 at byte %zu", i);
        }
        if (c < 0x20 || (c >= 0x7f && c < 0xa0)) {
            return err_set(e, ERR_BAD_REQUEST, "the image's key has a control character at byte %zu", i);
        }
        i += size;
    }
    return OK;
}

enum err collection_name_check_new_key(struct collection_text key, struct errbuf *e)
{
    enum err rc = collection_name_check_key(key, e);
    for (size_t i = 0, n; !rc && i < key.n; i += n + 1) {
        const char *slash = memchr(key.text + i, '/', key.n - i);
        n = slash ? (size_t)(slash - key.text) - i : key.n - i;
        if ((n == 1 || n == 2) && memcmp(key.text + i, "..", n) == 0) {
            rc = err_set(
                e, ERR_BAD_REQUEST,
                "the image's key has a part \"%.*s\", which clients and proxies take out of addresses; leave it out",
                (int)n, key.text + i);
        }
    }
    return rc;
}
