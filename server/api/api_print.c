#include "engine/base/buf.h"
#include "server/api/api.h"
#include "server/http/reply.h"

static const char *port_of(int flags)
{
    return flags & ROUTE_ADMIN ? "admin" : flags & ROUTE_OPS ? "admin-or-main" : flags & ROUTE_BOTH ? "either" : "main";
}

static const char *words_of(int flag, const char *word)
{
    return flag ? word : "";
}

/* The names in the tables need no escapes. */
void api_print(struct buf *b)
{
    static const struct {
        int status;
        const char *code, *type;
        bool is_retryable;
    } faults[] = {
#define FAULT_ROW(symbol, status, code, type, is_retryable) {status, code, type, is_retryable},
        REPLY_FAULTS(FAULT_ROW)
#undef FAULT_ROW
    };
    buf_printf(b, "{\"routes\": [");
    for (int i = 0; i < api_routes.n; i++) {
        const struct route *r = &api_routes.routes[i];
        buf_printf(b, "%s\n {\"method\": \"%s\", \"path\": \"%s\", \"port\": \"%s\"%s%s%s}", i ? "," : "", r->method,
                   r->path, port_of(r->flags), words_of(r->flags & ROUTE_PUBLIC, ", \"public\": true"),
                   words_of(r->flags & ROUTE_WORK, ", \"work\": true"),
                   words_of(r->flags & ROUTE_PAGE, ", \"page\": true"));
    }
    buf_printf(b, "\n],\n\"errors\": [");
    for (int i = 0; i < FAULT_COUNT; i++) {
        buf_printf(b, "%s\n {\"status\": %d, \"code\": \"%s\", \"type\": \"%s\", \"retryable\": %s}", i ? "," : "",
                   faults[i].status, faults[i].code, faults[i].type, faults[i].is_retryable ? "true" : "false");
    }
    buf_printf(b, "\n]}\n");
}
