/* keys - every key of the configuration, once: file, environment, flags, --help, reference page and JSON Schema come
 * from here.
 *
 * X(section, name, kind, default, least, most, words, when, help)
 *   kind  INT    long long                         BYTES  uint64_t; "64MiB", "1.5GB" or a plain number
 *         BOOL   bool                              TEXT   char[CONFIG_TEXT_MAX]; least, most: characters
 *         CHOICE char[CONFIG_TEXT_MAX], one of the words of `words`, separated by '|'
 *   when  START: read at start only; RELOAD: SIGHUP also takes a new value */
#ifndef CONFIG_KEYS_H
#define CONFIG_KEYS_H

/* clang-format off */
/* S(section, help) */
#define CONFIG_SECTIONS(S) \
    S(model, "The model to serve.") \
    S(server, "Listening addresses, TLS and HTTP.") \
    S(limits, "Limits of one request and of the whole service.") \
    S(image, "Decoding of pictures.") \
    S(engine, "Threads, instruction sets and batching.") \
    S(cache, "Cache of region features, keyed by image.") \
    S(collections, "Stored images that can be searched.") \
    S(auth, "API keys.") \
    S(log, "Log on standard error.") \
    S(drain, "Graceful shutdown.")

#define CONFIG_KEYS_model(X) \
    X(model, dir, TEXT, "models/minivlm-base", 1, 1023, NULL, START, \
      "Model directory: config.json, model.safetensors, vocab.txt, labels.json.") \
    X(model, verify, BOOL, true, 0, 1, NULL, START, \
      "Compare the weights with the SHA-256 in the model's config.json before serving.")

#define CONFIG_KEYS_server(X) \
    X(server, host, TEXT, "127.0.0.1", 1, 255, NULL, START, \
      "Addresses to listen on, IPv4 or IPv6, with spaces between; :: for all of both kinds, 0.0.0.0 for all of IPv4; a name stands for all its addresses.") \
    X(server, port, INT, 8080, -1, 65535, NULL, START, \
      "Port to listen on; 0 takes a free one and logs it; -1: none, server.socket alone.") \
    X(server, socket, TEXT, "", 0, 107, NULL, START, \
      "Path of a UNIX socket to listen on as well; one that an ended process has left is replaced; empty: none.") \
    X(server, socket_mode, TEXT, "0660", 0, 63, NULL, START, \
      "Permissions of the UNIX socket, in octal digits: who may write may connect.") \
    X(server, prefix, TEXT, "", 0, 255, NULL, START, \
      "Path before all routes of the main port, like /vision, for a balancer that passes it on; health routes answer without it too; empty: none.") \
    X(server, trusted_proxies, TEXT, "", 0, 1023, NULL, RELOAD, \
      "Networks of the proxies whose X-Forwarded-For and Forwarded are believed, like 10.0.0.0/8 fd00::/8, with spaces between; unix: who comes by server.socket; empty: nobody.") \
    X(server, proxy_protocol, BOOL, false, 0, 1, NULL, START, \
      "Each connection from server.trusted_proxies to the main port begins with a PROXY protocol header, version 1 or 2; others may not send one.") \
    X(server, admin_host, TEXT, "127.0.0.1", 1, 255, NULL, START, \
      "Address of the admin port.") \
    X(server, admin_names, TEXT, "", 0, 1023, NULL, RELOAD, \
      "Host names by which the admin port may be called, with spaces between, beside IP addresses, localhost and server.admin_host; * allows all.") \
    X(server, admin_port, INT, -1, -1, 65535, NULL, START, \
      "Port for health, metrics, /debug and /admin; -1: health and metrics on the main port, no /debug, no /admin; 0 takes a free one.") \
    X(server, tls_certificate, TEXT, "", 0, 1023, NULL, START, \
      "PEM file of the certificate and its chain: the main port speaks HTTPS; empty: plain HTTP.") \
    X(server, tls_key, TEXT, "", 0, 1023, NULL, START, \
      "PEM file of the certificate's private key.") \
    X(server, max_connections, INT, 4096, 4, 1000000, NULL, START, \
      "Open connections, at most a third of the descriptors the process may have; a newcomer takes the place of one that is idle or has stalled, else it is answered 503 and closed.") \
    X(server, max_connections_per_address, INT, 0, 0, 1000000, NULL, START, \
      "Open connections of one address (IPv6: of one /64); 0: a quarter of server.max_connections, at least 64, once seven eighths of all are taken.") \
    X(server, idle_timeout_ms, INT, 75000, 1000, 3600000, NULL, START, \
      "A connection without a request for so long is closed.") \
    X(server, upload_timeout_ms, INT, 30000, 100, 3600000, NULL, RELOAD, \
      "A request must have arrived whole within this time, else 408.") \
    X(server, min_upload_rate, BYTES, 1024, 0, 1073741824, NULL, RELOAD, \
      "Bytes a second that a body must average after its first 5 seconds, else 408; 0: no such limit.") \
    X(server, send_timeout_ms, INT, 30000, 1000, 3600000, NULL, START, \
      "A reader that takes nothing for so long is cut off.") \
    X(server, min_send_rate, BYTES, 1024, 0, 1073741824, NULL, RELOAD, \
      "Bytes a second that a reader must take after keeping an answer waiting for 5 seconds, else it is cut off; 0: no such limit.") \
    X(server, max_header_bytes, BYTES, 16384, 4096, 1048576, NULL, START, \
      "Request line and headers of one request with their line ends, else 431.") \
    X(server, cors_origins, TEXT, "", 0, 1023, NULL, RELOAD, \
      "Origins allowed to call from a browser, separated by spaces; * allows all; empty: none.") \
    X(server, overload_status, CHOICE, "429", 0, 0, "429|503", RELOAD, \
      "Status of a request refused for load; 503 for meshes that retry nothing else.") \
    X(server, page, BOOL, true, 0, 1, NULL, RELOAD, \
      "The page for people at /; false: 404.") \
    X(server, sandbox, CHOICE, "auto", 0, 0, "auto|require|off", START, \
      "Bind the process once it listens: system calls (seccomp), files (Landlock), privileges; auto: as far as the kernel can; require: all of it or no start.") \
    X(server, sandbox_read, TEXT, "/", 0, 1023, NULL, START, \
      "Folders that the sandbox lets the service read, separated by colons, beside those of the files that are configured: for model.dir when it is a link that will lead elsewhere.")

#define CONFIG_KEYS_limits(X) \
    X(limits, body_bytes, BYTES, 20971520, 1024, 1073741824, NULL, RELOAD, \
      "Body of one request.") \
    X(limits, body_memory_bytes, BYTES, 0, 0, 1099511627776, NULL, START, \
      "Bodies of all requests together; 0: 256 MiB, or less where memory is short.") \
    X(limits, decode_memory_bytes, BYTES, 0, 0, 1099511627776, NULL, START, \
      "Pictures being decoded, all together: 3 to 12 bytes a pixel; 0: enough for the largest that limits.pixels allows, or less where memory is short.") \
    X(limits, requests, INT, 256, 1, 65536, NULL, START, \
      "Requests accepted and not yet answered.") \
    X(limits, images, INT, 16, 1, 1024, NULL, RELOAD, \
      "Images of one request.") \
    X(limits, texts, INT, 128, 1, 4096, NULL, START, \
      "Questions or sentences of one request.") \
    X(limits, pairs, INT, 1024, 1, 65536, NULL, RELOAD, \
      "Images times texts of one request.") \
    X(limits, text_bytes, BYTES, 4096, 16, 65536, NULL, START, \
      "One question or sentence.") \
    X(limits, pixels, INT, 50000000, 1, 1000000000, NULL, START, \
      "Pixels of one image.") \
    X(limits, progressive_pixels, INT, 26000000, 1, 1000000000, NULL, START, \
      "Pixels of one progressive JPEG, which takes up to four times the memory.") \
    X(limits, timeout_ms, INT, 30000, 10, 3600000, NULL, RELOAD, \
      "Longest deadline of a request, and the deadline of one that names none.") \
    X(limits, memory_bytes, BYTES, 0, 0, 1099511627776, NULL, START, \
      "Memory the service may plan for; 0: what the control group or the machine has.")

#define CONFIG_KEYS_image(X) \
    X(image, fast_scaling, BOOL, true, 0, 1, NULL, START, \
      "Decode a JPEG of at least four times the size of the network's input at a half, a quarter or an eighth of its size; false: from all its pixels.")

#define CONFIG_KEYS_engine(X) \
    X(engine, threads, INT, 0, 0, 1024, NULL, START, \
      "Threads that run the network; 0: usable CPUs (affinity and control group).") \
    X(engine, decode_threads, INT, 0, 0, 1024, NULL, START, \
      "Threads that decode images; 0: a quarter of the usable CPUs, at least one.") \
    X(engine, split_threads, INT, 4, 1, 16, NULL, START, \
      "Engine threads that may work on one step of a request while nothing else waits; 1: never several.") \
    X(engine, nice, INT, 5, 0, 19, NULL, START, \
      "How far engine and decode threads stand behind the thread that answers HTTP, as of nice(1), at most at 19; 0 where other programs compete for the CPUs.") \
    X(engine, precision, CHOICE, "auto", 0, 0, "auto|fp32|int8", START, \
      "Number format of the fusion's matrices; auto: as the model directory has them, those of the image half too.") \
    X(engine, isa, CHOICE, "auto", 0, 0, "auto|ref|avx2|avxvnni|avx512|avx512vnni|neon|neondot", START, \
      "Most modern instruction set to use.") \
    X(engine, openblas, BOOL, false, 0, 1, NULL, START, \
      "Multiply matrices with OpenBLAS instead of the engine's own kernels.") \
    X(engine, batching, CHOICE, "continuous", 0, 0, "continuous|static|off", START, \
      "continuous: work joins and leaves the fusion batch at every step; static: a batch runs to its end; off: one item at a time.") \
    X(engine, max_captions, INT, 0, 0, 65536, NULL, START, \
      "Captions under way at once; 0: 8 and 4 for each CPU.") \
    X(engine, max_step_rows, INT, 256, 64, 65536, NULL, START, \
      "Rows of one fusion step.") \
    X(engine, max_image_batch, INT, 1, 1, 1024, NULL, START, \
      "Images a thread takes in one go.") \
    X(engine, batch_wait_us, INT, 2000, 0, 1000000, NULL, START, \
      "Longest an image waits for batch mates while others are being decoded.")

#define CONFIG_KEYS_cache(X) \
    X(cache, bytes, BYTES, 268435456, 0, 1099511627776, NULL, START, \
      "Most memory for region features, least recently used out first; less where memory is short; 0: none.")

#define CONFIG_KEYS_collections(X) \
    X(collections, path, TEXT, "", 0, 1023, NULL, START, \
      "SQLite database of the collections; empty: no collections.") \
    X(collections, max_images, INT, 100000, 1, 10000000, NULL, RELOAD, \
      "Images of one collection.") \
    X(collections, rerank, INT, 64, 1, 4096, NULL, RELOAD, \
      "Best images of the first pass that the fusion transformer scores exactly.")

#define CONFIG_KEYS_auth(X) \
    X(auth, keys_file, TEXT, "", 0, 1023, NULL, RELOAD, \
      "File of API keys, one a line, as --make-key prints it: NAME SHA256-OF-THE-KEY in hex, then role=client|metrics|admin, rate=5/s, share=25% where wanted; empty: no keys needed.")

#define CONFIG_KEYS_log(X) \
    X(log, level, CHOICE, "info", 0, 0, "debug|info|warn|error|off", RELOAD, \
      "Least severe lines to log.") \
    X(log, format, CHOICE, "auto", 0, 0, "auto|json|text", START, \
      "auto: text on a terminal, else JSON.") \
    X(log, requests_per_second, INT, 1000, 0, 1000000, NULL, RELOAD, \
      "Lines of requests in a second; the next line tells how many were left out; 0: all.")

#define CONFIG_KEYS_drain(X) \
    X(drain, delay_ms, INT, 0, 0, 600000, NULL, RELOAD, \
      "After SIGTERM, serve on for so long while balancers see that readiness is gone.") \
    X(drain, timeout_ms, INT, 30000, 0, 3600000, NULL, RELOAD, \
      "After that, time for requests in flight before they are cut off.")
/* clang-format on */

#endif
