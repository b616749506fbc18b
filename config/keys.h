/* keys - every configuration key, once: file, environment, flags, --help, reference page and JSON Schema are generated
 * from here.
 *
 * X(section, name, kind, default, min, max, words, when, help)
 *   kind  INT    long long                         BYTES  uint64_t; "64MiB", "1.5GB" or a plain number
 *         BOOL   bool                              TEXT   char[CONFIG_TEXT_MAX]; min, max: characters; words: "FILE"
 *                                                         or "DIR" if it is a path, for completion
 *         CHOICE char[CONFIG_TEXT_MAX], one of the words of `words`, separated by '|'
 *   when  START: read at start only; RELOAD: SIGHUP also takes a new value */
#ifndef CONFIG_KEYS_H
#define CONFIG_KEYS_H

#include "engine/base/isa_list.h"

/* clang-format off */
/* S(section, help) */
#define CONFIG_SECTIONS(S) \
    S(model, "The model to serve.") \
    S(server, "Listening addresses, TLS and HTTP.") \
    S(limits, "Limits of one request and of the whole service.") \
    S(image, "Decoding of images.") \
    S(engine, "Threads, instruction sets and batching.") \
    S(cache, "Cache of region features, keyed by image.") \
    S(collections, "Stored images that can be searched.") \
    S(auth, "API keys.") \
    S(log, "Log on standard error.") \
    S(drain, "Graceful shutdown.")

#define CONFIG_KEYS_model(X) \
    X(model, dir, TEXT, "models/minivlm-base", 1, 1023, "DIR", START, \
      "Model directory: config.json, model.safetensors, vocab.txt, labels.json.") \
    X(model, verify, BOOL, true, 0, 1, NULL, START, \
      "Compare the weights with the SHA-256 in the model's config.json before serving.")

#define CONFIG_KEYS_server(X) \
    X(server, host, TEXT, "127.0.0.1", 1, 255, NULL, START, \
      "Addresses or names to listen on, separated by spaces; 0.0.0.0 stands for all of IPv4, :: for all of both families.") \
    X(server, port, INT, 8080, -1, 65535, NULL, START, \
      "Port to listen on; 0: any free port, which is logged; -1: none, only server.socket.") \
    X(server, socket, TEXT, "", 0, 107, "FILE", START, \
      "Path of an additional UNIX socket to listen on; one left behind by a dead process is replaced; empty: none.") \
    X(server, socket_mode, TEXT, "0660", 0, 63, NULL, START, \
      "Permissions of the UNIX socket, in octal; whoever can write to it can connect.") \
    X(server, prefix, TEXT, "", 0, 255, NULL, START, \
      "Path prefix of all routes of the main port, such as /vision; health routes also answer without it; empty: none.") \
    X(server, trusted_proxies, TEXT, "", 0, 1023, NULL, RELOAD, \
      "Networks whose X-Forwarded-For and Forwarded are trusted, such as 10.0.0.0/8 fd00::/8; unix: clients of server.socket.") \
    X(server, proxy_protocol, BOOL, false, 0, 1, NULL, START, \
      "Connections of server.trusted_proxies to the main port begin with a PROXY header (1 or 2); others may not send one.") \
    X(server, admin_host, TEXT, "127.0.0.1", 1, 255, NULL, START, \
      "Address of the admin port.") \
    X(server, admin_names, TEXT, "", 0, 1023, NULL, RELOAD, \
      "More host names of the admin port, separated by spaces, beside IP addresses, localhost and server.admin_host; *: all.") \
    X(server, admin_port, INT, -1, -1, 65535, NULL, START, \
      "Port for health, metrics, /debug and /admin; -1: health and metrics on the main port, no others; 0: any free port.") \
    X(server, tls_certificate, TEXT, "", 0, 1023, "FILE", START, \
      "PEM file of the certificate and its chain: the main port speaks HTTPS; empty: plain HTTP.") \
    X(server, tls_key, TEXT, "", 0, 1023, "FILE", START, \
      "PEM file of the certificate's private key.") \
    X(server, max_connections, INT, 4096, 4, 1000000, NULL, START, \
      "Open connections, at most a third of the descriptors; one more replaces an idle or stalled one, or is answered 503.") \
    X(server, max_connections_per_address, INT, 0, 0, 1000000, NULL, START, \
      "Open connections of one address (IPv6: one /64); 0: a quarter, at least 64 or half, once seven eighths are in use.") \
    X(server, idle_timeout_ms, INT, 75000, 1000, 3600000, NULL, START, \
      "A connection without a request for this long is closed.") \
    X(server, upload_timeout_ms, INT, 30000, 100, 3600000, NULL, RELOAD, \
      "A request must arrive completely within this time, else 408.") \
    X(server, min_upload_rate, BYTES, 1024, 0, 1073741824, NULL, RELOAD, \
      "Bytes per second that a body must average after its first 5 seconds, else 408; 0: no such limit.") \
    X(server, send_timeout_ms, INT, 30000, 1000, 3600000, NULL, START, \
      "A client that reads nothing of its answer for this long is disconnected.") \
    X(server, min_send_rate, BYTES, 1024, 0, 1073741824, NULL, RELOAD, \
      "Bytes per second that a client must read after an answer waited for 5 s, else it is disconnected; 0: no such limit.") \
    X(server, max_header_bytes, BYTES, 16384, 4096, 1048576, NULL, START, \
      "Maximum size of request line and headers of one request, line ends included, else 431.") \
    X(server, cors_origins, TEXT, "", 0, 1023, NULL, RELOAD, \
      "Origins allowed to call from a browser, separated by spaces; * allows all; empty: none.") \
    X(server, overload_status, CHOICE, "429", 0, 0, "429|503", RELOAD, \
      "Status of requests refused because of load; 503 for service meshes that retry nothing else.") \
    X(server, page, BOOL, true, 0, 1, NULL, RELOAD, \
      "The web page at /; false: 404.") \
    X(server, sandbox, CHOICE, "auto", 0, 0, "auto|require|off", START, \
      "Restrict system calls, files and privileges once it listens; auto: as far as possible; require: fully, or no start.") \
    X(server, sandbox_read, TEXT, "/", 0, 1023, NULL, START, \
      "More folders to leave readable, separated by colons; needed if model.dir is a link that may lead elsewhere later.")

#define CONFIG_KEYS_limits(X) \
    X(limits, body_bytes, BYTES, 20971520, 1024, 1073741824, NULL, RELOAD, \
      "Maximum size of the body of one request.") \
    X(limits, body_memory_bytes, BYTES, 0, 0, 1099511627776, NULL, START, \
      "Memory for the bodies of all requests; 0: 256 MiB, or less if memory is short.") \
    X(limits, decode_memory_bytes, BYTES, 0, 0, 1099511627776, NULL, START, \
      "Memory for images being decoded, 3 to 42 bytes per pixel; 0: enough for limits.pixels, or less if memory is short.") \
    X(limits, requests, INT, 256, 1, 65536, NULL, START, \
      "Maximum number of requests that are accepted and not yet answered.") \
    X(limits, images, INT, 16, 1, 1024, NULL, RELOAD, \
      "Maximum number of images of one request.") \
    X(limits, texts, INT, 128, 1, 4096, NULL, START, \
      "Maximum number of questions or sentences of one request.") \
    X(limits, pairs, INT, 1024, 1, 65536, NULL, RELOAD, \
      "Maximum number of pairs of one request: images times texts.") \
    X(limits, text_bytes, BYTES, 4096, 16, 65536, NULL, START, \
      "Maximum size of one question or sentence.") \
    X(limits, pixels, INT, 51000000, 1, 1000000000, NULL, START, \
      "Maximum number of pixels of one image.") \
    X(limits, progressive_pixels, INT, 26000000, 1, 1000000000, NULL, START, \
      "Maximum number of pixels of one progressive JPEG, which takes up to four times the memory.") \
    X(limits, timeout_ms, INT, 30000, 10, 3600000, NULL, RELOAD, \
      "Longest deadline of a request, and the default deadline.") \
    X(limits, memory_bytes, BYTES, 0, 0, 1099511627776, NULL, START, \
      "Memory that the service may use; 0: what the control group or the machine has.")

#define CONFIG_KEYS_image(X) \
    X(image, fast_scaling, BOOL, true, 0, 1, NULL, START, \
      "Decode JPEGs at least four times the network's input at 1/2, 1/4 or 1/8 scale; false: always decode all pixels.")

#define CONFIG_KEYS_engine(X) \
    X(engine, threads, INT, 0, 0, 1024, NULL, START, \
      "Threads that run the network; 0: usable CPUs (affinity and control group).") \
    X(engine, decode_threads, INT, 0, 0, 1024, NULL, START, \
      "Threads that decode images; 0: a quarter of the usable CPUs, at least one.") \
    X(engine, split_threads, INT, 4, 1, 16, NULL, START, \
      "Engine threads that may share one step of a request while nothing else waits; 1: never share.") \
    X(engine, nice, INT, 5, 0, 19, NULL, START, \
      "nice(1) of engine, decode and side threads relative to the HTTP thread; 0 is best if others compete for the CPUs.") \
    X(engine, precision, CHOICE, "auto", 0, 0, "auto|fp32|int8", START, \
      "Number format of matrices; auto: as in the model directory; int8: the fusion in 8 bits, the image half as stored.") \
    X(engine, isa, CHOICE, "auto", 0, 0, ISA_CHOICES, START, \
      "Newest instruction set to use; amx only if named, because it was never timed.") \
    X(engine, openblas, BOOL, false, 0, 1, NULL, START, \
      "Multiply matrices with OpenBLAS: the last digits of an answer then depend on what shares its batch.") \
    X(engine, batching, CHOICE, "continuous", 0, 0, "continuous|static|off", START, \
      "continuous: work joins and leaves a batch at every step; static: a batch runs to its end; off: one item at a time.") \
    X(engine, max_captions, INT, 0, 0, 65536, NULL, START, \
      "Maximum number of captions in progress; 0: 8, and 4 more for each CPU.") \
    X(engine, max_step_rows, INT, 256, 64, 65536, NULL, START, \
      "Maximum number of rows of one fusion step.") \
    X(engine, max_image_batch, INT, 1, 1, 1024, NULL, START, \
      "Maximum number of images that a thread processes together.") \
    X(engine, batch_wait_us, INT, 2000, 0, 1000000, NULL, START, \
      "Longest time that an image waits for others that are being decoded, to be processed together.")

#define CONFIG_KEYS_cache(X) \
    X(cache, bytes, BYTES, 268435456, 0, 1099511627776, NULL, START, \
      "Maximum memory for region features; the least recently used are evicted first; less if memory is short; 0: none.")

#define CONFIG_KEYS_collections(X) \
    X(collections, path, TEXT, "", 0, 1023, "FILE", START, \
      "SQLite database of the collections; empty: no collections.") \
    X(collections, max_images, INT, 100000, 1, 10000000, NULL, RELOAD, \
      "Maximum number of images of one collection.") \
    X(collections, rerank, INT, 64, 1, 4096, NULL, RELOAD, \
      "How many of the best images of the first pass are scored by the fusion transformer.")

#define CONFIG_KEYS_auth(X) \
    X(auth, keys_file, TEXT, "", 0, 1023, "FILE", RELOAD, \
      "File of API keys, one per line, as of --make-key: NAME SHA256 [role=ROLE] [rate=5/s] [share=25%]; empty: none.")

#define CONFIG_KEYS_log(X) \
    X(log, level, CHOICE, "info", 0, 0, "debug|info|warn|error|off", RELOAD, \
      "Lowest severity to log.") \
    X(log, format, CHOICE, "auto", 0, 0, "auto|json|text", START, \
      "auto: text on a terminal, else JSON.") \
    X(log, requests_per_second, INT, 1000, 0, 1000000, NULL, RELOAD, \
      "Maximum number of request lines per second; the next line says how many were dropped; 0: no limit.")

#define CONFIG_KEYS_drain(X) \
    X(drain, delay_ms, INT, 0, 0, 600000, NULL, RELOAD, \
      "After SIGTERM, continue to serve for this long, so that load balancers notice that it is no longer ready.") \
    X(drain, timeout_ms, INT, 30000, 0, 3600000, NULL, RELOAD, \
      "Then the time that requests in flight have to finish before they are cut off.")
/* clang-format on */

#endif
