/* Where a configuration comes from: each source over the one before, flags, variables, and what every key takes. */
#include "tests/unit/config/test_config.h"

/* ---- sources ---- */

static void test_each_source_wins_over_the_one_before(void)
{
    const char *text = "{\"server\": {\"port\": 1001, \"host\": \"h1\", \"idle_timeout_ms\": 1001}, "
                       "\"limits\": {\"images\": 11}}";
    const char *path = file_of(text, strlen(text));
    const char *const *env = ENV("MINIVLM_SERVER_PORT=1002", "MINIVLM_SERVER_HOST=h2", "MINIVLM_LIMITS_TEXTS=12");
    CHECK_INT(load(ARGS("--config", path, "--server.port=1003"), env), OK);
    CHECK_INT(config.server.port, 1003);            /* flag */
    CHECK_STR(config.server.host, "h2");            /* environment */
    CHECK_INT(config.limits.texts, 12);             /* environment */
    CHECK_INT(config.server.idle_timeout_ms, 1001); /* file */
    CHECK_INT(config.limits.images, 11);            /* file */
    CHECK_INT(config.limits.pairs, 1024);           /* default */
    CHECK_STR(request.file, path);
    CHECK_INT(request.action, CONFIG_RUN);
    CHECK_INT(load(ARGS("--server.port=1", "--server.port=2"), NO_ENV), OK);
    CHECK_INT(config.server.port, 2); /* the last flag counts */
    unlink(path);
}

static void test_file_of_environment_and_flag(void)
{
    char variable[96], flag[96], first[64];
    const char *text = "{\"server\": {\"port\": 1001}}";
    snprintf(first, sizeof(first), "%s", file_of(text, strlen(text)));
    text = "{\"server\": {\"port\": 1002}}";
    const char *second = file_of(text, strlen(text));
    snprintf(variable, sizeof(variable), "MINIVLM_CONFIG=%s", first);
    snprintf(flag, sizeof(flag), "--config=%s", second);
    CHECK_INT(load(NO_ARGS, ENV(variable)), OK);
    CHECK_INT(config.server.port, 1001);
    CHECK_STR(request.file, first);
    CHECK_INT(load(ARGS(flag), ENV(variable)), OK);
    CHECK_INT(config.server.port, 1002); /* the flag's file alone is read */
    CHECK_STR(request.file, second);
    CHECK_INT(load(ARGS("--config", first, flag), NO_ENV), OK);
    CHECK_INT(config.server.port, 1002);
    CHECK_INT(load(NO_ARGS, ENV("MINIVLM_CONFIG=")), OK);
    CHECK_STR(request.file, "");
    unlink(first);
    unlink(second);
}

static void test_defaults_are_valid(void)
{
    CHECK_INT(load(NO_ARGS, NO_ENV), OK);
    CHECK_INT(config.server.port, 8080);
    CHECK_INT(config.server.admin_port, -1);
    CHECK_STR(config.server.overload_status, "429");
    CHECK(config.model.verify && !config.engine.openblas);
    CHECK_INT(config_load(&config, &request, 0, NULL, NULL, &faults), OK); /* no arguments, no environment */
}

/* ---- flags ---- */

static void test_actions(void)
{
    static const struct {
        const char *flag;
        enum config_action action;
    } cases[] = {{"--help", CONFIG_HELP},
                 {"-h", CONFIG_HELP},
                 {"--version", CONFIG_VERSION},
                 {"--print-config", CONFIG_PRINT},
                 {"--check-config", CONFIG_CHECK},
                 {"--print-schema", CONFIG_SCHEMA},
                 {"--print-api", CONFIG_API},
                 {"--healthcheck", CONFIG_HEALTHCHECK},
                 {"--print-reference", CONFIG_REFERENCE}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        CHECK_INT(load(ARGS("--server.port=7", cases[i].flag, "--limits.images", "3"), NO_ENV), OK);
        CHECK_INT(request.action, cases[i].action);
        CHECK(config.server.port == 7 && config.limits.images == 3);
    }
}

static void test_forms_of_a_flag(void)
{
    CHECK_INT(load(ARGS("--server.admin-port", "-1", "--engine.openblas", "--log.level", "debug"), NO_ENV), OK);
    CHECK(config.server.admin_port == -1 && config.engine.openblas);
    CHECK_STR(config.log.level, "debug");
    CHECK_INT(load(ARGS("--engine.openblas=1", "--model.verify=false", "--auth.keys_file="), NO_ENV), OK);
    CHECK(config.engine.openblas && !config.model.verify);
    CHECK_INT(load(ARGS("--model.dir=a=b"), NO_ENV), OK);
    CHECK_STR(config.model.dir, "a=b");
}

static void test_faulty_flags(void)
{
    static const struct {
        const char *flag, *fault;
    } cases[] = {
        {"extra", "extra: not a flag; flags look like --server.port=8080, see --help\n"},
        {"-p", "-p: not a flag"},
        {"", ": not a flag"},
        {"--", "flag: : no such key\n"},
        {"--port=1", "flag: port: no such key\n"},
        {"--server.prot=1", "flag: server.prot: no such key; did you mean server.port?\n"},
        {"--server.=1", "flag: server.: no such key"},
        {"--serve.port=1", "did you mean server.port?\n"},
        {"--nonsense.at_all_or_so=1", "flag: nonsense.at_all_or_so: no such key\n"},
        {"--server.port=", "flag: server.port: expected a whole number from -1 to 65535, found \"\"\n"},
        {"--engine.openblas=yes", "flag: engine.openblas: expected true or false, found \"yes\"\n"},
        {"--log.level=loud", "flag: log.level: expected one of debug|info|warn|error|off, found \"loud\"\n"},
        {"--config", "flag: config: "},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        CHECK_INT(load(ARGS(cases[i].flag), NO_ENV), ERR_BAD_CONFIG);
        CHECK_FAULT(cases[i].fault);
        CHECK_INT(n_faults(), 1);
    }
    char longest[400] = "--";
    memset(longest + 2, 'x', sizeof(longest) - 3);
    CHECK_INT(load(ARGS(longest), NO_ENV), ERR_BAD_CONFIG);
    CHECK_FAULT("not a flag");
}

/* A forgotten value must not be read as an empty one: --auth.keys_file without a file would need no keys at all. */
static void test_flag_without_its_value(void)
{
    CHECK_INT(load(ARGS("--auth.keys_file"), NO_ENV), ERR_BAD_CONFIG);
    CHECK_FAULT("flag: auth.keys_file: expected text of 0 to 1023 characters, found nothing\n");
    CHECK_INT(load(ARGS("--collections.path", "--engine.openblas"), NO_ENV), ERR_BAD_CONFIG);
    CHECK_FAULT("flag: collections.path: ");
    CHECK_INT(n_faults(), 1);
    CHECK(config.engine.openblas);
}

/* ---- environment ---- */

static void test_variables(void)
{
    CHECK_INT(load(NO_ARGS, ENV("PATH=/bin", "MINIVLM_TEST_ANY=1", "MINIVLM_BUILD_DIR=x", "MINIVLM_MODEL=m", "NOEQUALS",
                                "MINIVLM_NOEQUALS", "minivlm_server_port=9", "MINIVLM_SERVER=http://h:1",
                                "MINIVLM_API_KEY=k", "MINIVLM_LIMITS_TEXT_BYTES=1KiB")),
              OK);
    CHECK_INT(config.limits.text_bytes, 1024);
    CHECK_INT(config.server.port, 8080);
    CHECK_INT(load(NO_ARGS, ENV("MINIVLM_SERVICE_HOST=10.0.0.7", "MINIVLM_SERVICE_PORT=8080",
                                "MINIVLM_SERVER_SERVICE_PORT_HTTP=8080", "MINIVLM_SERVER_PORT=tcp://10.0.0.7:8080",
                                "MINIVLM_SERVER_PORT_8080_TCP_ADDR=10.0.0.7", "MINIVLM_PORT=tcp://10.0.0.7:8080")),
              OK); /* service links */
    CHECK_INT(config.server.port, 8080);
    CHECK_INT(load(NO_ARGS, ENV("MINIVLM_SERVER_PROT=_SERVICE_HOST=", "MINIVLM_LOG_PORT_TCP=1")), ERR_BAD_CONFIG);
    CHECK_INT(n_faults(), 2);
    CHECK_INT(load(NO_ARGS, ENV("MINIVLM_SERVER_PROT=1", "MINIVLM_X=1", "MINIVLM_=1", "MINIVLM_server_port=1")),
              ERR_BAD_CONFIG);
    CHECK_FAULT("environment: server.prot: no such key; did you mean server.port?\n");
    CHECK_FAULT("environment: x: no such key\n");
    CHECK_FAULT("environment: server.port: no such key");
    CHECK_INT(n_faults(), 4);
    CHECK_INT(load(NO_ARGS, ENV("MINIVLM_SERVER_PORT=eighty")), ERR_BAD_CONFIG);
    CHECK_FAULT("MINIVLM_SERVER_PORT: server.port: expected a whole number from -1 to 65535, found \"eighty\"\n");
    char longest[300];
    int n = snprintf(longest, sizeof(longest), "MINIVLM_");
    memset(longest + n, 'A', sizeof(longest) - (size_t)n - 3);
    memcpy(longest + sizeof(longest) - 3, "=1", 3);
    CHECK_INT(load(NO_ARGS, ENV(longest)), ERR_BAD_CONFIG);
    CHECK_FAULT("no such key\n");
}

/* ---- values ---- */

static double number_of(const struct config_key *k)
{
    return k->kind == INT     ? (double)*(const long long *)config_value(&config, k)
           : k->kind == BYTES ? (double)*(const uint64_t *)config_value(&config, k)
                              : (double)*(const bool *)config_value(&config, k);
}

/* NAN: the text is refused, with a fault that names the key, and the value stays. */
static void check_text(const char *section, const char *name, const char *text, double expected)
{
    const struct config_key *k = config_find(section, name);
    config_defaults(&config);
    double before = number_of(k);
    buf_release(&faults);
    buf_init(&faults, 65536);
    bool is_good = config_set_text(&config, k, text, "here", &faults);
    if (is_good != !isnan(expected) || number_of(k) != (isnan(expected) ? before : expected)) {
        fprintf(stderr, "%s.%s=%s gave %d, %.17g\n", section, name, text, is_good, number_of(k));
    }
    CHECK(is_good == !isnan(expected));
    CHECK_NEAR(number_of(k), isnan(expected) ? before : expected, 0);
    CHECK_INT(n_faults(), is_good ? 0 : 1);
    CHECK(is_good || strncmp(fault_text(), "here: ", 6) == 0);
}

static void test_numbers_as_text(void)
{
    static const struct {
        const char *text;
        double number, bytes; /* server.port, cache.bytes; NAN: refused */
    } cases[] = {
        {"0", 0, 0},
        {"65535", 65535, 65535},
        {"65536", NAN, 65536},
        {"-1", -1, NAN},
        {"-2", NAN, NAN},
        {"-0", 0, 0},
        {"007", 7, 7},
        {"1e3", 1000, 1000},
        {"1e999", NAN, NAN},
        {"99999999999999999999999999", NAN, NAN},
        {"nan", NAN, NAN},
        {"-nan", NAN, NAN},
        {"inf", NAN, NAN},
        {"", NAN, NAN},
        {" 1", NAN, NAN},
        {"+1", NAN, NAN},
        {"1 ", 1, 1},
        {"1x", NAN, NAN},
        {"1.5", NAN, NAN},
        {"0.5", NAN, NAN},
        {"0x10", NAN, NAN},
        {".5", NAN, NAN},
        {"64MiB", NAN, 67108864},
        {"64 MiB", NAN, 67108864},
        {"1.5GB", NAN, 1.5e9},
        {"0.5KiB", NAN, 512},
        {"1.0001KiB", NAN, 1024},
        {"1KB", NAN, 1000},
        {"1K", NAN, 1024},
        {"1M", NAN, 1048576},
        {"1G", NAN, 1073741824},
        {"1TiB", NAN, 1099511627776.0},
        {"1TB", NAN, 1e12},
        {"1.1TiB", NAN, NAN},
        {"1PiB", NAN, NAN},
        {"100B", NAN, 100},
        {"1mib", NAN, NAN},
        {"1MiBs", NAN, NAN},
        {"1,5GB", NAN, NAN},
        {"-1KiB", NAN, NAN},
        {"-0.0001KiB", NAN, NAN},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        check_text("server", "port", cases[i].text, cases[i].number);
        check_text("cache", "bytes", cases[i].text, cases[i].bytes);
    }
    check_text("server", "admin_port", "-1", -1);
    check_text("server", "admin_port", "-2", NAN);
}

/* Every key with numbers takes its minimum and maximum, and neither one below nor one above. */
static void test_limits_of_every_number(void)
{
    char text[64];
    for (int i = 0; i < config_n_keys; i++) {
        const struct config_key *k = &config_keys[i];
        const double values[] = {k->min, k->max, k->min - 1, k->max + 1};
        for (int v = 0; v < 4 && (k->kind == INT || k->kind == BYTES); v++) {
            snprintf(text, sizeof(text), "%.0f", values[v]);
            check_text(k->section, k->name, text, v < 2 ? values[v] : (double)NAN);
            snprintf(text, sizeof(text), "{\"%s\": {\"%s\": %.0f}}", k->section, k->name, values[v]);
            CHECK_INT(read_text(text, strlen(text)), v < 2 ? OK : ERR_BAD_CONFIG);
            CHECK(v >= 2 || number_of(k) == values[v]);
        }
    }
}

static void test_truth(void)
{
    static const char *const bad[] = {"", "yes", "TRUE", "2", "true ", "truefalse"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        check_text("engine", "openblas", bad[i], NAN);
    }
    check_text("engine", "openblas", "true", 1);
    check_text("engine", "openblas", "1", 1);
    check_text("model", "verify", "false", 0);
    check_text("model", "verify", "0", 0);
}

static bool set(const char *section, const char *name, const char *text)
{
    buf_release(&faults);
    buf_init(&faults, 65536);
    return config_set_text(&config, config_find(section, name), text, "here", &faults);
}

static void test_words(void)
{
    config_defaults(&config);
    CHECK(set("log", "level", "debug") && set("log", "level", "off") && set("server", "overload_status", "503"));
    CHECK(!set("log", "level", ""));
    CHECK(!set("log", "level", "debu"));
    CHECK(!set("log", "level", "debugger"));
    CHECK(!set("log", "level", "Debug"));
    CHECK(!set("log", "level", "|"));
    CHECK(!set("log", "level", "debug|info")); /* two words are none */
    CHECK(!set("server", "overload_status", "429|503"));
    CHECK_STR(config.log.level, "off");
    CHECK_STR(config.server.overload_status, "503");
}

static void test_lengths_of_text(void)
{
    char text[2000];
    memset(text, 'x', sizeof(text));
    config_defaults(&config);
    text[255] = '\0';
    CHECK(set("server", "host", text));
    text[255] = 'x';
    text[256] = '\0';
    CHECK(!set("server", "host", text));
    CHECK_INT(strlen(config.server.host), 255);
    CHECK(!set("server", "host", ""));
    CHECK_FAULT("here: server.host: expected text of 1 to 255 characters, found \"\"\n");
    CHECK(set("server", "cors_origins", ""));
    text[256] = 'x';
    text[1023] = '\0';
    CHECK(set("server", "cors_origins", text));
    text[1023] = 'x';
    text[1999] = '\0';
    CHECK(!set("server", "cors_origins", text));
    CHECK(strlen(fault_text()) < 300); /* what was found is cut */
}

/* ---- all together ---- */

static void test_all_faults_at_once(void)
{
    const char *text = "{\"server\": {\"port\": 99999, \"colour\": 1}, \"limits\": {\"images\": true}}";
    char expected[128];
    const char *path = file_of(text, strlen(text));
    CHECK_INT(load(ARGS("--config", path, "--engine.isa=mmx", "--log.format=xml"),
                   ENV("MINIVLM_CACHE_BYTES=lots", "MINIVLM_DRAIN_DELAY_MS=-1")),
              ERR_BAD_CONFIG);
    CHECK_INT(n_faults(), 7);
    snprintf(expected, sizeof(expected), "%s: server.port: expected a whole number from -1 to 65535, found \"99999\"\n",
             path);
    CHECK_FAULT(expected);
    snprintf(expected, sizeof(expected), "%s: server.colour: no such key\n", path);
    CHECK_FAULT(expected);
    snprintf(expected, sizeof(expected), "%s: limits.images: expected a whole number from 1 to 1024, found true\n",
             path);
    CHECK_FAULT(expected);
    CHECK_FAULT("MINIVLM_CACHE_BYTES: cache.bytes: expected bytes from 0 to 1099511627776, as a number or like 64MiB, "
                "found \"lots\"\n");
    CHECK_FAULT("MINIVLM_DRAIN_DELAY_MS: drain.delay_ms: expected a whole number from 0 to 600000, found \"-1\"\n");
    CHECK_FAULT("flag: engine.isa: expected one of " ISA_CHOICES ", found \"mmx\"\n");
    CHECK_FAULT("flag: log.format: expected one of auto|json|text, found \"xml\"\n");
    unlink(path);
}

static void test_keys_that_depend_on_each_other(void)
{
    CHECK_INT(load(ARGS("--limits.body_bytes=2MiB", "--limits.body_memory_bytes=1MiB"), NO_ENV), ERR_BAD_CONFIG);
    CHECK_FAULT("limits.body_bytes: expected at most limits.body_memory_bytes, 1048576, found \"2097152\"\n");
    CHECK_INT(load(ARGS("--limits.body_bytes=1MiB", "--limits.body_memory_bytes=1MiB"), NO_ENV), OK);
    CHECK_INT(load(ARGS("--server.port=90", "--server.admin_port=90"), NO_ENV), ERR_BAD_CONFIG);
    CHECK_FAULT("server.admin_port: expected another port than server.port, found \"90\"\n");
    CHECK_INT(load(ARGS("--server.port=0", "--server.admin_port=0"), NO_ENV), OK); /* two free ones */
    CHECK_INT(load(ARGS("--server.port=-1"), NO_ENV), ERR_BAD_CONFIG);
    CHECK_FAULT("server.port: expected a port, or -1 together with server.socket, found \"-1\"\n");
    CHECK_INT(load(ARGS("--server.port=-1", "--server.socket=/run/x"), NO_ENV), OK);
    CHECK_INT(load(ARGS("--server.proxy_protocol"), NO_ENV), ERR_BAD_CONFIG);
    CHECK_FAULT("server.proxy_protocol: expected server.trusted_proxies to be set too, found none\n");
}

static void test_server_texts(void)
{
    static const char *const good[] = {"/v", "/a/b-c_d.e~1", "/.well", "/a..b", "/v1.0/x"};
    static const char *const bad[] = {"/",       "v",    "/v/",  "//v",       "/a//b", "/a/..",
                                      "/a/../b", "/./a", "/a b", "/\xc3\xa9", "/%41"};
    static const char *const modes[] = {"", "7", "66", "0999", "1660", "00660", "rw-", "0x1b", "-660"};
    char flag[96];
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        snprintf(flag, sizeof(flag), "--server.prefix=%s", good[i]);
        CHECK_INT(load(ARGS(flag), NO_ENV), OK);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(flag, sizeof(flag), "--server.prefix=%s", bad[i]);
        CHECK_INT(load(ARGS(flag), NO_ENV), ERR_BAD_CONFIG);
    }
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        snprintf(flag, sizeof(flag), "--server.socket_mode=%s", modes[i]);
        CHECK_INT(load(ARGS(flag), NO_ENV), ERR_BAD_CONFIG);
    }
    CHECK_INT(load(ARGS("--server.socket_mode=666"), NO_ENV), OK);
    static const char *const origins[] = {"*",
                                          "null",
                                          "https://a.example http://localhost:3000",
                                          " http://[::1]:8080 ",
                                          "chrome-extension://abc",
                                          "capacitor://localhost"};
    static const char *const none[] = {"a.example",
                                       "https://a.example/",
                                       "https://A.example",
                                       "https://*.example",
                                       "https://a, https://b",
                                       "https://a https://b/c",
                                       "://a",
                                       "https://",
                                       "* https://a",
                                       "HTTPS://a"};
    for (size_t i = 0; i < sizeof(origins) / sizeof(origins[0]); i++) {
        snprintf(flag, sizeof(flag), "--server.cors_origins=%s", origins[i]);
        CHECK_INT(load(ARGS(flag), NO_ENV), OK);
    }
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        snprintf(flag, sizeof(flag), "--server.cors_origins=%s", none[i]);
        CHECK_INT(load(ARGS(flag), NO_ENV), ERR_BAD_CONFIG);
        CHECK(strstr(faults.bytes, "server.cors_origins: expected"));
    }
}

/* Faults that do not fit their buf are faults all the same. */
static void test_no_room_for_faults(void)
{
    buf_release(&faults);
    buf_init(&faults, 16);
    const char *const *args = ARGS("--server.port=x");
    CHECK_INT(config_load(&config, &request, 2, (char **)(uintptr_t)args, NULL, &faults), ERR_BAD_CONFIG);
    static char path[70000] = "--config=";
    memset(path + 9, 'p', sizeof(path) - 10);
    CHECK_INT(load(ARGS(path), NO_ENV), ERR_BAD_CONFIG);
}

int main(void)
{
    test_each_source_wins_over_the_one_before();
    test_file_of_environment_and_flag();
    test_defaults_are_valid();
    test_actions();
    test_forms_of_a_flag();
    test_faulty_flags();
    test_flag_without_its_value();
    test_variables();
    test_numbers_as_text();
    test_limits_of_every_number();
    test_truth();
    test_words();
    test_lengths_of_text();
    test_all_faults_at_once();
    test_keys_that_depend_on_each_other();
    test_server_texts();
    test_no_room_for_faults();
    buf_release(&faults);
    return check_result();
}
