/* Bodies in the words of other services: what is taken of them, and what a text asks for. */
#include "server/input/input_private.h"
#include "tests/unit/server/input/test_input.h"

static bool read_dialect(enum input_dialect dialect, enum input_route route, const char *json_bytes, const void *body,
                         size_t n)
{
    struct buf b;
    input_release(&input);
    buf_init(&b, n);
    buf_append(&b, body, n);
    return parse(&(struct input_source){
        .route = route, .dialect = dialect, .json_bytes = json_bytes, .body = &b, .limits = limits});
}

static bool read_text(enum input_dialect dialect, enum input_route route, const char *json)
{
    return read_dialect(dialect, route, NULL, json, strlen(json));
}

/* ---- descriptions and questions ---- */

static void check_wish(bool is_description, const char *text)
{
    bool got = input_asks_for_description(text, strlen(text));
    if (got != is_description) {
        fprintf(stderr, "\"%s\"\n", text);
    }
    CHECK(got == is_description);
}

static void test_wishes(void)
{
    static const char *const descriptions[] = {"",
                                               " \n",
                                               "describe",
                                               "Please describe this photo in detail.",
                                               "What's in this image?",
                                               "What is in the picture?",
                                               "what\xe2\x80\x99s in this photo",
                                               "What is shown in this image?",
                                               "What is depicted here?",
                                               "What do you see?",
                                               "What can you see in the image, please?",
                                               "Tell me about this picture",
                                               "Tell me what you see in the photo.",
                                               "Write a short caption",
                                               "Generate alt-text for a web shop",
                                               "Give me a one sentence description of my photo",
                                               "How would you describe it?",
                                               "Summarize the image in one sentence",
                                               "What is going on in this picture?",
                                               "What does this image show?",
                                               "Can you tell me what you see?",
                                               "Could you please tell me what's in this picture?",
                                               "Beschreibe das Bild",
                                               "D\303\251cris cette image",
                                               "describe the contents of the picture"};
    static const char *const questions[] = {"What colour is the cat?",
                                            "What is the cat doing in this image?",
                                            "What do you see on the table?",
                                            "Is there a caption?",
                                            "Who wrote the description?",
                                            "how many dogs are in the image",
                                            "Is it raining?",
                                            "the colour of the car",
                                            "subscribe?",
                                            "Can you see a cat?",
                                            "describe the color of the cat",
                                            "What is happening on the left of the picture?"};
    for (size_t i = 0; i < sizeof(descriptions) / sizeof(descriptions[0]); i++) {
        check_wish(true, descriptions[i]);
    }
    for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++) {
        check_wish(false, questions[i]);
    }
}

/* ---- OpenAI ---- */

#define PART(url)  "{\"type\": \"image_url\", \"image_url\": {\"url\": \"" url "\"}}"
#define ASK(parts) "{\"messages\": [{\"role\": \"user\", \"content\": [" parts "]}]}"
#define SAY(text)  "{\"type\": \"text\", \"text\": \"" text "\"}"

static void test_openai(void)
{
    CHECK_TAKEN(read_text(INPUT_OPENAI, INPUT_CAPTION, ASK(PART("data:image/png;base64,QUJD"))));
    CHECK(input.route == INPUT_CAPTION && IS_IMAGE(0, "ABC") && input.n_texts == 0);
    CHECK_TAKEN(read_text(INPUT_OPENAI, INPUT_CAPTION, ASK(SAY("who") ", " PART("QUJD") ", " SAY("is it"))));
    CHECK(input.route == INPUT_VQA && IS_TEXT(0, "who is it") && !input.has_text_list);
    CHECK_TAKEN(
        read_text(INPUT_OPENAI, INPUT_CAPTION,
                  "{\"messages\": [{\"role\": \"user\", \"content\": [" PART(
                      "QQ==") "]}, {\"role\": \"assistant\", "
                              "\"content\": null}, {\"role\": \"user\", \"content\": [" PART(
                                  "Qg==") "]}, {\"role\": \"user\", "
                                          "\"content\": \"where\"}], \"max_tokens\": 9999, \"n\": 1, \"tools\": []}"));
    CHECK(input.n_images == 1 && IS_IMAGE(0, "B") && IS_TEXT(0, "where") && input.max_tokens == JOB_MAX_TOKENS);
    CHECK_FAULT(read_text(INPUT_OPENAI, INPUT_CAPTION, ASK(PART("s3://bucket/a.jpg"))), FAULT_BAD_REQUEST,
                "/messages/0/content/0/image_url/url", "an address");
    CHECK_FAULT(read_text(INPUT_OPENAI, INPUT_CAPTION, "{\"messages\": 5, \"x\": 1}"), FAULT_BAD_REQUEST, "x", "a key");
    CHECK_FAULT(read_text(INPUT_OPENAI, INPUT_CAPTION, "{}"), FAULT_BAD_REQUEST, "messages", "none");
}

/* ---- KServe ---- */

#define TENSOR(size)                                                                                                   \
    "{\"inputs\": [{\"name\": \"image\", \"shape\": [2], \"datatype\": \"BYTES\", \"parameters\": "                    \
    "{\"binary_data_size\": " size "}}]}"

static bool read_binary(const char *head, const char *bytes, size_t n)
{
    char body[512], length[24];
    size_t n_head = strlen(head);
    memcpy(body, head, n_head);
    memcpy(body + n_head, bytes, n);
    snprintf(length, sizeof(length), "%zu", n_head);
    return read_dialect(INPUT_KSERVE, INPUT_CAPTION, length, body, n_head + n);
}

static void test_kserve(void)
{
    CHECK_TAKEN(read_binary(TENSOR("11"), "\1\0\0\0A\2\0\0\0BC", 11));
    CHECK(input.n_images == 2 && IS_IMAGE(0, "A") && IS_IMAGE(1, "BC"));
    CHECK_INT(input.wish.outputs, INPUT_OUTPUT_TEXT | INPUT_OUTPUT_SCORE);
    CHECK_FAULT(read_binary(TENSOR("11"), "\1\0\0\0A\2\0\0\0B", 10), FAULT_BAD_REQUEST, "/inputs/0", "cut off");
    CHECK_FAULT(read_binary(TENSOR("11"), "\1\0\0\0A\3\0\0\0BC", 11), FAULT_BAD_REQUEST, "/inputs/0", "too long");
    CHECK_FAULT(read_binary(TENSOR("11"), "\1\0\0\0A\377\377\377\377BC", 11), FAULT_BAD_REQUEST, "/inputs/0", "huge");
    CHECK_FAULT(read_binary(TENSOR("11"), "\1\0\0\0A\1\0\0\0BC", 11), FAULT_BAD_REQUEST, "/inputs/0", "left over");
    CHECK_FAULT(read_binary(TENSOR("8"), "\1\0\0\0A\1\0\0\0B", 10), FAULT_BAD_REQUEST, "/inputs/0", "size");
    CHECK_FAULT(read_binary(TENSOR("10"), "\1\0\0\0A\1\0\0\0BX", 11), FAULT_BAD_REQUEST, "inputs", "no tensor's");
    CHECK_FAULT(read_dialect(INPUT_KSERVE, INPUT_CAPTION, "99", "{}", 2), FAULT_BAD_REQUEST,
                "Inference-Header-Content-Length", "behind the end");
    CHECK_TAKEN(
        read_text(INPUT_KSERVE, INPUT_VQA,
                  "{\"id\": \"a\", \"inputs\": [{\"name\": \"question\", \"shape\": [1, 2], \"datatype\": \"BYTES\", "
                  "\"data\": [[\"x\", \"y\"]]}, {\"name\": \"image\", \"shape\": [1], \"datatype\": \"BYTES\", "
                  "\"data\": [\"QQ==\"]}], \"outputs\": [{\"name\": \"answer\", \"parameters\": {\"binary_data\": "
                  "true}}], \"parameters\": {\"timeout\": 1500}}"));
    CHECK(input.n_texts == 2 && IS_TEXT(1, "y") && IS_IMAGE(0, "A") && strcmp(input.wish.id, "a") == 0);
    CHECK(input.wish.outputs == INPUT_OUTPUT_TEXT && input.wish.binary == INPUT_OUTPUT_TEXT && input.timeout_ms == 2);
}

/* ---- Hugging Face and rerank ---- */

static void test_others(void)
{
    CHECK_TAKEN(read_text(INPUT_HUGGINGFACE, INPUT_CAPTION,
                          "{\"inputs\": \"QQ==\", \"parameters\": {\"max_new_tokens\": 500}}"));
    CHECK(input.route == INPUT_CAPTION && IS_IMAGE(0, "A"));
    CHECK_TAKEN(read_text(INPUT_HUGGINGFACE, INPUT_CAPTION,
                          "{\"inputs\": \"QQ==\", \"image\": \"QQ==\", \"question\": \"q\"}"));
    CHECK(input.route == INPUT_VQA && input.n_images == 1 && IS_TEXT(0, "q"));
    CHECK_TAKEN(read_text(INPUT_HUGGINGFACE, INPUT_CAPTION, "\xff\xd8\xff\n"));
    CHECK_FAULT(read_text(INPUT_HUGGINGFACE, INPUT_VQA, "{\"inputs\": \"QQ==\"}"), FAULT_BAD_REQUEST, "question",
                "none");
    CHECK_TAKEN(
        read_text(INPUT_RERANK, INPUT_RETRIEVE,
                  "{\"query\": \"data:image/png;base64,QQ==\", \"texts\": [\"a\", \"b\"], \"return_text\": true}"));
    CHECK(input.wish.is_bare && IS_IMAGE(0, "A") && input.n_texts == 2 && input.n_documents == 2);
    CHECK_TAKEN(
        read_text(INPUT_RERANK, INPUT_RETRIEVE,
                  "{\"query\": \"q\", \"documents\": [\"data:image/png;base64,QQ==\"], \"return_documents\": true}"));
    CHECK(!input.wish.is_bare && IS_IMAGE(0, "A") && json_object_size(json_array_get(input.documents, 0)) == 0);
    CHECK_FAULT(read_text(INPUT_RERANK, INPUT_RETRIEVE, "{\"query\": \"q\"}"), FAULT_BAD_REQUEST, "documents", "none");
}

int main(void)
{
    set_limits(4, 5, 12, 4096);
    test_wishes();
    test_openai();
    test_kserve();
    test_others();
    input_release(&input);
    return check_result();
}
