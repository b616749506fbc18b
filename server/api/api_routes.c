/* The routes of the service. */
#include "server/api/api.h"

static const struct route routes[] = {
    {"GET", "/", "page", ROUTE_PUBLIC | ROUTE_PAGE, 0, api_page, NULL},
    {"GET", "/page/{}", "page", ROUTE_PUBLIC | ROUTE_PAGE, 0, api_page, NULL},
    {"POST", "/caption", "caption", ROUTE_WORK, JOB_CAPTION, api_caption, NULL},
    {"POST", "/vqa", "vqa", ROUTE_WORK, JOB_VQA, api_vqa, NULL},
    {"POST", "/retrieve", "retrieve", ROUTE_WORK, JOB_RETRIEVE, api_retrieve, NULL},
    {"POST", "/images/check", "check", ROUTE_WORK, JOB_CHECK, api_image_check, NULL},
    {"HEAD", "/images/{}", "images", 0, 0, api_image_known, ""},
    {"GET", "/collections", "collections", 0, 0, api_collections_list, ""},
    {"GET", "/collections/{}", "collections", 0, 0, api_collection_show, "after limit"},
    {"DELETE", "/collections/{}", "collections", 0, 0, api_collection_drop, ""},
    {"PUT", "/collections/{}/images/{*}", "collection_put", ROUTE_WORK, JOB_CAPTION, api_collection_put, NULL},
    {"DELETE", "/collections/{}/images/{*}", "collections", 0, 0, api_collection_remove, ""},
    {"GET", "/healthz", "health", ROUTE_PUBLIC | ROUTE_BOTH, 0, api_live, NULL},
    {"GET", "/livez", "health", ROUTE_PUBLIC | ROUTE_BOTH, 0, api_live, NULL},
    {"GET", "/health/live", "health", ROUTE_PUBLIC | ROUTE_BOTH, 0, api_live, NULL},
    {"GET", "/ping", "health", ROUTE_PUBLIC | ROUTE_BOTH, 0, api_live, NULL},
    {"GET", "/readyz", "ready", ROUTE_PUBLIC | ROUTE_BOTH, 0, api_ready, "max_load"},
    {"GET", "/health/ready", "ready", ROUTE_PUBLIC | ROUTE_BOTH, 0, api_ready, "max_load"},
    {"GET", "/startupz", "startup", ROUTE_PUBLIC | ROUTE_BOTH, 0, api_startup, NULL},
    {"GET", "/metrics", "metrics", ROUTE_OPS, 0, api_metrics, NULL},
    {"GET", "/version", "version", ROUTE_BOTH, 0, api_version, ""},
    {"GET", "/status", "status", ROUTE_BOTH, 0, api_status, ""},
    {"GET", "/openapi.json", "openapi", ROUTE_BOTH, 0, api_openapi, ""},
    {"POST", "/admin/reload", "reload", ROUTE_ADMIN, 0, api_reload, "wait timeout_ms"},
    {"GET", "/admin/model", "model", ROUTE_ADMIN, 0, api_model, ""},
    {"GET", "/debug/requests", "debug", ROUTE_ADMIN, 0, api_debug, ""},
    {"GET", "/debug/requests/{}", "debug", ROUTE_ADMIN, 0, api_debug_one, ""},
};

const struct route_table api_routes = {routes, sizeof(routes) / sizeof(routes[0])};
