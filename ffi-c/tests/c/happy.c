/* What a program does with the library, against a sandbox named by MONGODB_ATLAS_BASE_URL. */
#include <pthread.h>

#include "check.h"

static void versions(void) {
    char parts[32];
    snprintf(parts, sizeof parts, "%d.%d.%d", SVCTOKEN_VERSION_MAJOR, SVCTOKEN_VERSION_MINOR, SVCTOKEN_VERSION_PATCH);
    CHECK(strcmp(parts, SVCTOKEN_VERSION) == 0);
    CHECK(strcmp(svctoken_version(), SVCTOKEN_VERSION) == 0);
    CHECK(SVCTOKEN_VERSION_NUMBER / 10000 == SVCTOKEN_VERSION_MAJOR);
    CHECK(SVCTOKEN_VERSION_NUMBER / 100 % 100 == SVCTOKEN_VERSION_MINOR);
    CHECK(SVCTOKEN_VERSION_NUMBER % 100 == SVCTOKEN_VERSION_PATCH);
}

static void tokens(const svctoken_client *client) {
    char *token = NULL, copy[16385], small[8] = "unhurt!";
    size_t length = 0;
    CHECK_OK(svctoken_client_get_token(client, NULL, &token, &error));
    CHECK_OK(svctoken_client_copy_token(client, NULL, copy, sizeof copy, &length, &error));
    CHECK(strcmp(token, copy) == 0 && strlen(token) == length && length > 100);

    size_t needed = 0;
    CHECK_FAILS(SVCTOKEN_INVALID_ARGUMENT, "buffer",
                svctoken_client_copy_token(client, NULL, small, sizeof small, &needed, &error));
    CHECK(needed == length && strcmp(small, "unhurt!") == 0);
    CHECK(svctoken_client_copy_token(client, NULL, NULL, 0, &needed, NULL) == SVCTOKEN_INVALID_ARGUMENT);
    /* One byte for the NUL decides. */
    CHECK(svctoken_client_copy_token(client, NULL, copy, length, NULL, NULL) == SVCTOKEN_INVALID_ARGUMENT);
    CHECK_OK(svctoken_client_copy_token(client, NULL, copy, length + 1, NULL, &error));

    svctoken_token_info *info = NULL;
    CHECK_OK(svctoken_client_get_token_info(client, NULL, &info, &error));
    CHECK(strcmp(svctoken_token_info_token(info), token) == 0);
    CHECK(strcmp(svctoken_token_info_type(info), "Bearer") == 0);
    CHECK(svctoken_token_info_scope(info) == NULL);
    CHECK(svctoken_token_info_expires_in_ms(info) > 3500000 && svctoken_token_info_expires_in_ms(info) <= 3600000);
    CHECK(svctoken_token_info_expires_at_unix_ms(info) > 1700000000000);
    svctoken_token_info_free(info);

    bool was_current = false;
    CHECK_OK(svctoken_client_invalidate_token(client, token, &was_current, &error));
    CHECK(was_current);
    CHECK_OK(svctoken_client_invalidate_token(client, token, &was_current, &error));
    CHECK(!was_current);
    CHECK_OK(svctoken_client_copy_token(client, NULL, copy, sizeof copy, NULL, &error));
    CHECK(strcmp(token, copy) != 0);
    svctoken_string_free(token);

    CHECK(svctoken_testing_advance_clock(3600000) == SVCTOKEN_OK);
    CHECK_OK(svctoken_client_get_token(client, NULL, &token, &error));
    CHECK(strcmp(token, copy) != 0);
    svctoken_string_free(token);
}

static bool body_holds(const svctoken_response *response, const char *text) {
    size_t length = svctoken_response_body_len(response);
    char *body = malloc(length + 1);
    CHECK(body != NULL);
    memcpy(body, svctoken_response_body(response), length);
    body[length] = '\0';
    bool holds = strstr(body, text) != NULL;
    free(body);
    return holds;
}

static void requests(const svctoken_client *client) {
    svctoken_response *response = NULL;
    CHECK_OK(svctoken_client_request(client, "GET", "/api/atlas/v2/groups", NULL, &response, &error));
    CHECK(svctoken_response_status(response) == 200 && svctoken_response_is_ok(response));
    CHECK(svctoken_response_attempts(response) == 1);
    CHECK(body_holds(response, "\"totalCount\":3"));
    CHECK(strncmp(svctoken_response_header(response, "CONTENT-type"), "application/vnd.atlas", 21) == 0);
    CHECK(svctoken_response_header(response, "x-none") == NULL && svctoken_response_header(response, NULL) == NULL);
    CHECK(strstr(svctoken_response_url(response), "/api/atlas/v2/groups") != NULL);
    size_t count = svctoken_response_header_count(response), seen = 0;
    const char *name = NULL, *value = NULL;
    for (; svctoken_response_header_at(response, seen, &name, &value); seen++) {
        CHECK(strcmp(svctoken_response_header(response, name), value) == 0);
    }
    CHECK(seen == count && count >= 3);
    CHECK(!svctoken_response_header_at(response, 0, NULL, &value));
    CHECK(!svctoken_response_header_at(response, 0, &name, NULL));
    CHECK_OK(svctoken_response_check(response, &error));
    svctoken_response_free(response);

    svctoken_options *options = svctoken_options_new();
    svctoken_cancel *cancel = svctoken_cancel_new();
    char body[] = "a body";
    CHECK(svctoken_options_set_timeout(options, 30000) == SVCTOKEN_OK);
    CHECK(svctoken_options_set_cancel(options, cancel) == SVCTOKEN_OK);
    CHECK(svctoken_options_set_accept(options, "application/x-test") == SVCTOKEN_OK);
    CHECK(svctoken_options_set_body(options, body, strlen(body), "text/x-test") == SVCTOKEN_OK);
    CHECK(svctoken_options_set_max_response_bytes(options, 100000) == SVCTOKEN_OK);
    CHECK(svctoken_options_set_max_attempts(options, 2) == SVCTOKEN_OK);
    CHECK(svctoken_options_set_idempotent(options, true) == SVCTOKEN_OK);
    CHECK(svctoken_options_add_query(options, "q", "x y") == SVCTOKEN_OK);
    CHECK(svctoken_options_add_header(options, "X-Test", "value of it") == SVCTOKEN_OK);
    /* Everything was copied. */
    memset(body, '!', strlen(body));
    svctoken_cancel_free(cancel);
    CHECK_OK(svctoken_client_request(client, "POST", "/echo/c", options, &response, &error));
    static const char *const sent[] = {"\"POST\"", "q=x+y", "a body", "text/x-test", "application/x-test", "value of it"};
    for (size_t i = 0; i < sizeof sent / sizeof sent[0]; i++) CHECK(body_holds(response, sent[i]));
    svctoken_response_free(response);
    svctoken_options_free(options);

    options = svctoken_options_new();
    CHECK(svctoken_options_set_max_response_bytes(options, 999) == SVCTOKEN_OK);
    CHECK_FAILS(SVCTOKEN_ANSWER_TOO_LARGE, "999",
                svctoken_client_request(client, "GET", "/bytes/1000", options, &response, &error));
    svctoken_options_free(options);
    CHECK_FAILS(SVCTOKEN_ORIGIN_REFUSED, "allowed_origins",
                svctoken_client_request(client, "GET", "https://example.com/", NULL, &response, &error));
}

static void streams(const svctoken_client *client) {
    svctoken_options *options = svctoken_options_new();
    svctoken_response *response = NULL;
    char buffer[1000];
    size_t length = 77, total = 0;
    CHECK(svctoken_options_set_idle_timeout(options, 30000) == SVCTOKEN_OK);
    CHECK_OK(svctoken_client_request_stream(client, "GET", "/bytes/100000", options, &response, &error));
    CHECK(svctoken_response_status(response) == 200 && svctoken_response_body_len(response) == 0);
    CHECK_FAILS(SVCTOKEN_INVALID_ARGUMENT, "buffer", svctoken_response_read(response, NULL, 9, &length, &error));
    svctoken_response_free(response);

    CHECK_OK(svctoken_client_request_stream(client, "GET", "/bytes/100000", NULL, &response, &error));
    CHECK_FAILS(SVCTOKEN_INVALID_ARGUMENT, "length", svctoken_response_read(response, buffer, 9, NULL, &error));
    CHECK_OK(svctoken_response_read(response, NULL, 0, &length, &error));
    CHECK(length == 0);
    do {
        CHECK_OK(svctoken_response_read(response, buffer, sizeof buffer, &length, &error));
        for (size_t i = 0; i < length; i++) CHECK((unsigned char)buffer[i] == (total + i) % 251);
        total += length;
    } while (length > 0);
    CHECK(total == 100000);
    svctoken_response_free(response);
    svctoken_options_free(options);

    CHECK_OK(svctoken_client_request(client, "GET", "/echo", NULL, &response, &error));
    CHECK_FAILS(SVCTOKEN_INVALID_ARGUMENT, "read whole", svctoken_response_read(response, buffer, 9, &length, &error));
    svctoken_response_free(response);
}

static void *many_requests(void *client) {
    for (int i = 0; i < 20; i++) {
        svctoken_response *response = NULL;
        CHECK_OK(svctoken_client_request(client, "GET", "/echo", NULL, &response, &error));
        CHECK(svctoken_response_status(response) == 200);
        svctoken_response_free(response);
    }
    return NULL;
}

static void two_threads(svctoken_client *client) {
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) CHECK(pthread_create(&threads[i], NULL, many_requests, client) == 0);
    for (int i = 0; i < 2; i++) CHECK(pthread_join(threads[i], NULL) == 0);
}

static void counters(const svctoken_client *client) {
    svctoken_stats *stats = NULL;
    const char *name;
    uint64_t count, requests = 0, token_requests = 0;
    CHECK_OK(svctoken_client_get_stats(client, &stats, &error));
    for (size_t i = 0; svctoken_stats_at(stats, i, &name, &count); i++) {
        if (strcmp(name, "requests") == 0) requests = count;
        if (strcmp(name, "token_requests") == 0) token_requests = count;
    }
    CHECK(svctoken_stats_count(stats) >= 6);
    CHECK(requests == 46 && token_requests == 3);
    svctoken_stats_free(stats);
}

int main(void) {
    svctoken_client *client = NULL;
    versions();
    CHECK_OK(svctoken_client_new_atlas(NULL, &client, &error));
    tokens(client);
    requests(client);
    streams(client);
    two_threads(client);
    counters(client);
    svctoken_client_free(client);
    return 0;
}
