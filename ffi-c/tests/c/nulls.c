/* NULL for every pointer of every function: a code or an empty value, and never a crash. No network. */
#include "check.h"

#define REFUSED(call) CHECK((call) == SVCTOKEN_INVALID_ARGUMENT)

static void errors(void) {
    CHECK(svctoken_error_code(NULL) == SVCTOKEN_OK);
    CHECK(svctoken_error_name(NULL) == NULL);
    CHECK(svctoken_error_message(NULL) == NULL);
    CHECK(svctoken_error_stage(NULL) == NULL);
    CHECK(svctoken_error_next_step(NULL) == NULL);
    CHECK(svctoken_error_status(NULL) == 0);
    CHECK(svctoken_error_oauth_error(NULL) == NULL);
    CHECK(svctoken_error_oauth_error_description(NULL) == NULL);
    CHECK(svctoken_error_api_error_code(NULL) == NULL);
    CHECK(svctoken_error_retry_after_ms(NULL) == -1);
}

typedef svctoken_code (*set_text)(svctoken_config *, const char *);
typedef svctoken_code (*set_time)(svctoken_config *, int64_t);
typedef svctoken_code (*set_count)(svctoken_config *, uint64_t);
typedef svctoken_code (*add_pair)(svctoken_config *, const char *, const char *);

static const set_text texts[] = {
    svctoken_config_set_client_id,
    svctoken_config_set_client_secret,
    svctoken_config_set_client_secret_file,
    svctoken_config_add_client_secret_command,
    svctoken_config_set_client_secret_2,
    svctoken_config_set_private_key,
    svctoken_config_set_private_key_file,
    svctoken_config_set_key_id,
    svctoken_config_set_access_token,
    svctoken_config_set_token_url,
    svctoken_config_set_issuer,
    svctoken_config_set_revocation_url,
    svctoken_config_set_introspection_url,
    svctoken_config_set_base_url,
    svctoken_config_add_allowed_origin,
    svctoken_config_set_auth_method,
    svctoken_config_set_auth_encoding,
    svctoken_config_set_signing_alg,
    svctoken_config_set_assertion_audience,
    svctoken_config_set_scope,
    svctoken_config_set_audience,
    svctoken_config_add_resource,
    svctoken_config_set_cache,
    svctoken_config_set_accept,
    svctoken_config_set_user_agent,
    svctoken_config_set_proxy,
    svctoken_config_set_ca_file,
    svctoken_config_set_client_cert_file,
    svctoken_config_set_client_key_file,
};
static const set_time times[] = {
    svctoken_config_set_timeout,
    svctoken_config_set_connect_timeout,
    svctoken_config_set_token_timeout,
};
static const set_count counts[] = {
    svctoken_config_set_max_attempts,
    svctoken_config_set_mint_budget,
    svctoken_config_set_max_response_bytes,
};
static const add_pair pairs[] = {svctoken_config_add_extra_param, svctoken_config_add_header};

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* Returns how many setters there are; the test compares it with the table of options. */
static size_t configs(void) {
    for (size_t i = 0; i < LENGTH(texts); i++) {
        svctoken_config *config = svctoken_config_new();
        svctoken_client *client = NULL;
        REFUSED(texts[i](NULL, "text"));
        CHECK(texts[i](config, NULL) == SVCTOKEN_INVALID_CONFIGURATION);
        CHECK(texts[i](config, "\xff\xfe") == SVCTOKEN_INVALID_CONFIGURATION);
        /* The first is remembered. */
        CHECK_FAILS(SVCTOKEN_INVALID_CONFIGURATION, "not NULL", svctoken_client_new(config, &client, &error));
        CHECK(client == NULL);
        svctoken_config_free(config);
    }
    for (size_t i = 0; i < LENGTH(times); i++) {
        svctoken_config *config = svctoken_config_new();
        REFUSED(times[i](NULL, 1));
        CHECK(times[i](config, 1) == SVCTOKEN_OK);
        CHECK(times[i](config, 0) == SVCTOKEN_INVALID_CONFIGURATION);
        CHECK(times[i](config, -1) == SVCTOKEN_INVALID_CONFIGURATION);
        svctoken_config_free(config);
    }
    for (size_t i = 0; i < LENGTH(counts); i++) {
        svctoken_config *config = svctoken_config_new();
        REFUSED(counts[i](NULL, 1));
        CHECK(counts[i](config, 1) == SVCTOKEN_OK);
        CHECK(counts[i](config, 0) == SVCTOKEN_INVALID_CONFIGURATION);
        CHECK(counts[i](config, UINT64_MAX) == SVCTOKEN_INVALID_CONFIGURATION);
        svctoken_config_free(config);
    }
    for (size_t i = 0; i < LENGTH(pairs); i++) {
        svctoken_config *config = svctoken_config_new();
        REFUSED(pairs[i](NULL, "name", "text"));
        CHECK(pairs[i](config, "name", "text") == SVCTOKEN_OK);
        CHECK(pairs[i](config, NULL, "text") == SVCTOKEN_INVALID_CONFIGURATION);
        CHECK(pairs[i](config, "name", NULL) == SVCTOKEN_INVALID_CONFIGURATION);
        CHECK(pairs[i](config, "\xff", "text") == SVCTOKEN_INVALID_CONFIGURATION);
        svctoken_config_free(config);
    }
    REFUSED(svctoken_config_set_allow_http(NULL, true));
    return LENGTH(texts) + LENGTH(times) + LENGTH(counts) + LENGTH(pairs) + 2;
}

static int64_t read_nothing(void *user_data, void *buffer, size_t size) {
    CHECK(user_data == NULL && buffer != NULL && size > 0);
    return 0;
}

static bool go_on(void *user_data, uint64_t received, int64_t total) {
    return user_data != NULL && (total < 0 || received <= (uint64_t)total);
}

static void count_release(void *user_data) { (*(int *)user_data)++; }

static void call_options(const svctoken_client *client) {
    int released = 0;
    svctoken_cancel *cancel = svctoken_cancel_new();
    REFUSED(svctoken_options_set_timeout(NULL, 1));
    REFUSED(svctoken_options_set_cancel(NULL, cancel));
    REFUSED(svctoken_options_set_accept(NULL, "text"));
    REFUSED(svctoken_options_set_body(NULL, "text", 4, "text/plain"));
    REFUSED(svctoken_options_set_body_file(NULL, "/dev/null", NULL));
    REFUSED(svctoken_options_set_body_callback(NULL, read_nothing, NULL, -1, NULL, &released, count_release));
    REFUSED(svctoken_options_set_progress(NULL, go_on, &released, count_release));
    REFUSED(svctoken_options_set_max_response_bytes(NULL, 1));
    REFUSED(svctoken_options_set_idle_timeout(NULL, 1));
    REFUSED(svctoken_options_set_max_attempts(NULL, 1));
    REFUSED(svctoken_options_set_idempotent(NULL, true));
    REFUSED(svctoken_options_set_max_pages(NULL, 1));
    REFUSED(svctoken_options_add_query(NULL, "name", "value"));
    REFUSED(svctoken_options_add_form(NULL, "name", "value"));
    REFUSED(svctoken_options_add_header(NULL, "name", "value"));
    svctoken_cancel_free(cancel);

    /* Each alone in its options, because the first error is the one that calls tell. */
#define SPOILS(text, call)                                                                                      \
    do {                                                                                                        \
        svctoken_options *options = svctoken_options_new();                                                     \
        svctoken_response *response = NULL;                                                                     \
        char *token = NULL;                                                                                     \
        REFUSED(call);                                                                                          \
        CHECK_FAILS(SVCTOKEN_INVALID_ARGUMENT, text,                                                            \
                    svctoken_client_request(client, "GET", "/", options, &response, &error));                   \
        CHECK_FAILS(SVCTOKEN_INVALID_ARGUMENT, text, svctoken_client_get_token(client, options, &token, &error)); \
        CHECK(response == NULL && token == NULL);                                                               \
        svctoken_options_free(options);                                                                         \
    } while (0)
    SPOILS("idle_timeout", svctoken_options_set_idle_timeout(options, 0));
    SPOILS("timeout", svctoken_options_set_timeout(options, 0));
    SPOILS("timeout", svctoken_options_set_timeout(options, -5));
    SPOILS("cancel", svctoken_options_set_cancel(options, NULL));
    SPOILS("accept", svctoken_options_set_accept(options, NULL));
    SPOILS("accept", svctoken_options_set_accept(options, "\xc3"));
    SPOILS("body", svctoken_options_set_body(options, NULL, 4, "text/plain"));
    SPOILS("body", svctoken_options_set_body(options, "text", SIZE_MAX, "text/plain"));
    SPOILS("content_type", svctoken_options_set_body(options, "text", 4, "\xff"));
    SPOILS("path", svctoken_options_set_body_file(options, NULL, NULL));
    SPOILS("content_type", svctoken_options_set_body_file(options, "/dev/null", "\xff"));
    SPOILS("read", svctoken_options_set_body_callback(options, NULL, NULL, -1, NULL, &released, count_release));
    SPOILS("content_type",
           svctoken_options_set_body_callback(options, read_nothing, NULL, -1, "\xff", &released, count_release));
    CHECK(released == 0); /* what failed takes nothing */
    SPOILS("query", svctoken_options_add_query(options, NULL, "value"));
    SPOILS("query", svctoken_options_add_query(options, "name", NULL));
    SPOILS("field", svctoken_options_add_form(options, NULL, "value"));
    SPOILS("field", svctoken_options_add_form(options, "name", NULL));
    SPOILS("header", svctoken_options_add_header(options, NULL, "value"));
    SPOILS("header", svctoken_options_add_header(options, "name", NULL));

    svctoken_options *options = svctoken_options_new();
    CHECK(svctoken_options_set_body(options, NULL, 0, NULL) == SVCTOKEN_OK);
    CHECK(svctoken_options_set_body_callback(options, read_nothing, NULL, -1, NULL, &released, count_release) ==
          SVCTOKEN_OK);
    CHECK(released == 0);
    CHECK(svctoken_options_set_body_callback(options, read_nothing, NULL, 0, NULL, NULL, NULL) == SVCTOKEN_OK);
    CHECK(released == 1); /* another body took its place */
    CHECK(svctoken_options_set_body_callback(options, read_nothing, NULL, 0, NULL, &released, count_release) ==
          SVCTOKEN_OK);
    CHECK(svctoken_options_set_progress(options, go_on, &released, count_release) == SVCTOKEN_OK);
    CHECK(svctoken_options_set_progress(options, NULL, &released, count_release) == SVCTOKEN_OK);
    CHECK(released == 2); /* nobody is told any more */
    svctoken_options_free(options);
    CHECK(released == 3);
}

static svctoken_client *clients(void) {
    svctoken_client *client = NULL;
    svctoken_config *config = svctoken_config_new();
    CHECK(svctoken_config_set_client_id(config, "id") == SVCTOKEN_OK);
    CHECK(svctoken_config_set_client_secret(config, "secret") == SVCTOKEN_OK);
    CHECK(svctoken_config_set_token_url(config, "https://localhost/token") == SVCTOKEN_OK);

    CHECK_FAILS(SVCTOKEN_INVALID_CONFIGURATION, "client_id", svctoken_client_new(NULL, &client, &error));
    CHECK_FAILS(SVCTOKEN_INVALID_CONFIGURATION, "client_id", svctoken_client_new_atlas(NULL, &client, &error));
    CHECK_FAILS(SVCTOKEN_INVALID_CONFIGURATION, "", svctoken_client_new_from_env(NULL, &client, &error));
    CHECK_FAILS(SVCTOKEN_INVALID_ARGUMENT, "server_url",
                svctoken_client_new_keycloak(NULL, "realm", config, &client, &error));
    CHECK_FAILS(SVCTOKEN_INVALID_ARGUMENT, "realm",
                svctoken_client_new_keycloak("https://localhost", NULL, config, &client, &error));
    CHECK_FAILS(SVCTOKEN_INVALID_ARGUMENT, "realm",
                svctoken_client_new_keycloak("https://localhost", "\xff", config, &client, &error));
    CHECK_FAILS(SVCTOKEN_INVALID_ARGUMENT, "issuer", svctoken_client_new_issuer(NULL, config, &client, &error));
    CHECK_FAILS(SVCTOKEN_INVALID_CONFIGURATION, "issuer", svctoken_client_new_issuer("", config, &client, &error));
    CHECK_FAILS(SVCTOKEN_INVALID_ARGUMENT, "client", svctoken_client_new(config, NULL, &error));
    CHECK_FAILS(SVCTOKEN_INVALID_ARGUMENT, "client", svctoken_client_new_atlas(config, NULL, &error));
    CHECK_FAILS(SVCTOKEN_INVALID_ARGUMENT, "client", svctoken_client_new_from_env(config, NULL, &error));
    CHECK_FAILS(SVCTOKEN_INVALID_ARGUMENT, "client",
                svctoken_client_new_keycloak("https://localhost", "realm", config, NULL, &error));
    CHECK_FAILS(SVCTOKEN_INVALID_ARGUMENT, "client",
                svctoken_client_new_issuer("https://localhost", config, NULL, &error));
    CHECK(client == NULL);
    CHECK(svctoken_client_new(NULL, &client, NULL) == SVCTOKEN_INVALID_CONFIGURATION);
    CHECK_OK(svctoken_client_new(config, &client, &error));
    svctoken_config_free(config);
    return client;
}

static void calls(const svctoken_client *client) {
    char *token = NULL, small[4] = "abc";
    size_t length = 77;
    bool was_current = true;
    svctoken_token_info *info = NULL;
    svctoken_response *response = NULL;
    svctoken_stats *stats = NULL;
    REFUSED(svctoken_client_get_token(NULL, NULL, &token, NULL));
    REFUSED(svctoken_client_get_token(client, NULL, NULL, NULL));
    REFUSED(svctoken_client_copy_token(NULL, NULL, small, sizeof small, &length, NULL));
    REFUSED(svctoken_client_get_token_info(NULL, NULL, &info, NULL));
    REFUSED(svctoken_client_get_token_info(client, NULL, NULL, NULL));
    REFUSED(svctoken_client_invalidate_token(NULL, "token", &was_current, NULL));
    CHECK_FAILS(SVCTOKEN_INVALID_ARGUMENT, "token", svctoken_client_invalidate_token(client, NULL, &was_current, &error));
    CHECK_FAILS(SVCTOKEN_INVALID_ARGUMENT, "token",
                svctoken_client_invalidate_token(client, "\xff", &was_current, &error));
    REFUSED(svctoken_client_revoke(NULL, NULL, &was_current, NULL));
    REFUSED(svctoken_client_introspect(NULL, NULL, NULL, &token, NULL));
    REFUSED(svctoken_client_introspect(client, NULL, NULL, NULL, NULL));
    CHECK_FAILS(SVCTOKEN_INVALID_ARGUMENT, "token", svctoken_client_introspect(client, "", NULL, &token, &error));
    CHECK_FAILS(SVCTOKEN_INVALID_ARGUMENT, "token", svctoken_client_introspect(client, "\xff", NULL, &token, &error));
    CHECK_FAILS(SVCTOKEN_INVALID_CONFIGURATION, "introspection_url",
                svctoken_client_introspect(client, "token", NULL, &token, &error));
    REFUSED(svctoken_client_clear_cache(NULL, NULL));
    REFUSED(svctoken_client_request(NULL, "GET", "/", NULL, &response, NULL));
    CHECK_FAILS(SVCTOKEN_INVALID_ARGUMENT, "method", svctoken_client_request(client, NULL, "/", NULL, &response, &error));
    CHECK_FAILS(SVCTOKEN_INVALID_ARGUMENT, "url", svctoken_client_request(client, "GET", NULL, NULL, &response, &error));
    CHECK_FAILS(SVCTOKEN_INVALID_ARGUMENT, "url", svctoken_client_request(client, "GET", "/\xff", NULL, &response, &error));
    REFUSED(svctoken_client_request(client, "GET", "/", NULL, NULL, NULL));
    REFUSED(svctoken_client_request_stream(NULL, "GET", "/", NULL, &response, NULL));
    CHECK_FAILS(SVCTOKEN_INVALID_ARGUMENT, "method",
                svctoken_client_request_stream(client, NULL, "/", NULL, &response, &error));
    CHECK_FAILS(SVCTOKEN_INVALID_ARGUMENT, "url",
                svctoken_client_request_stream(client, "GET", NULL, NULL, &response, &error));
    REFUSED(svctoken_client_request_stream(client, "GET", "/", NULL, NULL, NULL));
    REFUSED(svctoken_client_download(NULL, "GET", "/", "file", NULL, &response, NULL));
    CHECK_FAILS(SVCTOKEN_INVALID_ARGUMENT, "method",
                svctoken_client_download(client, NULL, "/", "file", NULL, &response, &error));
    CHECK_FAILS(SVCTOKEN_INVALID_ARGUMENT, "url",
                svctoken_client_download(client, "GET", NULL, "file", NULL, &response, &error));
    CHECK_FAILS(SVCTOKEN_INVALID_ARGUMENT, "path",
                svctoken_client_download(client, "GET", "/", NULL, NULL, &response, &error));
    REFUSED(svctoken_client_download(client, "GET", "/", "file", NULL, NULL, NULL));
    svctoken_pages *pages = NULL;
    REFUSED(svctoken_pages_new(NULL, "/", NULL, &pages, NULL));
    CHECK_FAILS(SVCTOKEN_INVALID_ARGUMENT, "url", svctoken_pages_new(client, NULL, NULL, &pages, &error));
    CHECK_FAILS(SVCTOKEN_INVALID_ARGUMENT, "url", svctoken_pages_new(client, "/\xff", NULL, &pages, &error));
    REFUSED(svctoken_pages_new(client, "/", NULL, NULL, NULL));
    CHECK(pages == NULL);
    REFUSED(svctoken_pages_next(NULL, &response, NULL));
    CHECK_OK(svctoken_pages_new(client, "no slash", NULL, &pages, &error));
    REFUSED(svctoken_pages_next(pages, NULL, NULL));
    CHECK_FAILS(SVCTOKEN_INVALID_ARGUMENT, "slash", svctoken_pages_next(pages, &response, &error));
    CHECK_OK(svctoken_pages_next(pages, &response, &error));
    CHECK(response == NULL);
    svctoken_pages_free(pages);
    pages = NULL;
    REFUSED(svctoken_client_get_stats(NULL, &stats, NULL));
    REFUSED(svctoken_client_get_stats(client, NULL, NULL));
    /* Nothing was written. */
    CHECK(token == NULL && info == NULL && response == NULL && stats == NULL);
    CHECK(length == 77 && was_current && strcmp(small, "abc") == 0);

    CHECK_OK(svctoken_client_invalidate_token(client, "another", NULL, &error));
    CHECK_FAILS(SVCTOKEN_INVALID_CONFIGURATION, "revocation_url", svctoken_client_revoke(client, NULL, NULL, &error));
    CHECK_OK(svctoken_client_clear_cache(client, &error));
    CHECK_OK(svctoken_client_get_stats(client, &stats, &error));
    const char *name = NULL;
    uint64_t count = 77;
    CHECK(!svctoken_stats_at(stats, 0, NULL, &count) && !svctoken_stats_at(stats, 0, &name, NULL));
    CHECK(!svctoken_stats_at(stats, svctoken_stats_count(stats), &name, &count));
    CHECK(name == NULL && count == 77);
    svctoken_stats_free(stats);
}

static void getters(void) {
    const char *name = NULL, *value = NULL;
    uint64_t count;
    CHECK(svctoken_token_info_token(NULL) == NULL);
    CHECK(svctoken_token_info_type(NULL) == NULL);
    CHECK(svctoken_token_info_scope(NULL) == NULL);
    CHECK(svctoken_token_info_expires_in_ms(NULL) == 0);
    CHECK(svctoken_token_info_expires_at_unix_ms(NULL) == 0);
    CHECK(svctoken_response_status(NULL) == 0);
    CHECK(!svctoken_response_is_ok(NULL));
    CHECK(svctoken_response_body(NULL) == NULL);
    CHECK(svctoken_response_body_len(NULL) == 0);
    CHECK(svctoken_response_header(NULL, "date") == NULL);
    CHECK(svctoken_response_header_count(NULL) == 0);
    CHECK(!svctoken_response_header_at(NULL, 0, &name, &value));
    CHECK(svctoken_response_attempts(NULL) == 0);
    CHECK(svctoken_response_url(NULL) == NULL);
    REFUSED(svctoken_response_check(NULL, NULL));
    REFUSED(svctoken_response_text(NULL, &name, NULL, NULL));
    REFUSED(svctoken_response_read(NULL, NULL, 0, NULL, NULL));
    CHECK(svctoken_stats_count(NULL) == 0);
    CHECK(!svctoken_stats_at(NULL, 0, &name, &count));
    CHECK(svctoken_log_event_severity(NULL) == 0);
    CHECK(svctoken_log_event_name(NULL) == NULL && svctoken_log_event_message(NULL) == NULL);
    CHECK(svctoken_log_event_field_count(NULL) == 0);
    CHECK(!svctoken_log_event_field_at(NULL, 0, &name, &value));
    REFUSED(svctoken_secret_answer_set(NULL, "secret"));
    REFUSED(svctoken_secret_answer_fail(NULL, "why"));
    CHECK(svctoken_testing_advance_clock(-1) == SVCTOKEN_INVALID_ARGUMENT);
}

static void logged(const svctoken_log_event *event, void *user_data) {
    (void)event;
    (void)user_data;
}

static void count(void *user_data) { ++*(int *)user_data; }

/* A user_data that was taken is released when nothing holds it any more, and one that was not taken never. */
static void log_callbacks(void) {
    int first = 0, second = 0, never = 0;
    svctoken_config *config = svctoken_config_new();
    REFUSED(svctoken_config_set_log(NULL, logged, &never, count));
    CHECK(svctoken_config_set_log(config, NULL, &never, count) == SVCTOKEN_OK);
    CHECK(svctoken_config_set_log(config, logged, &first, count) == SVCTOKEN_OK);
    CHECK(first == 0);
    CHECK(svctoken_config_set_log(config, logged, &second, count) == SVCTOKEN_OK);
    CHECK(first == 1);
    svctoken_client *client = NULL;
    CHECK(svctoken_config_set_access_token(config, "ready") == SVCTOKEN_OK);
    CHECK_OK(svctoken_client_new(config, &client, &error));
    CHECK(svctoken_config_set_log(config, NULL, NULL, NULL) == SVCTOKEN_OK);
    svctoken_config_free(config);
    CHECK(second == 0);
    svctoken_client_free(client);
    CHECK(first == 1 && second == 1 && never == 0);

    config = svctoken_config_new();
    CHECK(svctoken_config_set_log(config, logged, NULL, NULL) == SVCTOKEN_OK);
    svctoken_config_free(config);
}

static void answer_nothing(svctoken_secret_answer *answer, void *user_data) {
    ++*(int *)user_data;
    REFUSED(svctoken_secret_answer_set(answer, NULL));
    REFUSED(svctoken_secret_answer_fail(answer, NULL));
}

/* As with the log; and a callback that gives NULL gives no secret. */
static void secret_callbacks(void) {
    /* The library's thread may let go of it a moment later. */
    static int first = 0, second = 0, never = 0;
    svctoken_config *config = svctoken_config_new();
    REFUSED(svctoken_config_set_client_secret_callback(NULL, answer_nothing, &never, count));
    CHECK(svctoken_config_set_client_secret_callback(config, answer_nothing, &first, count) == SVCTOKEN_OK);
    CHECK(svctoken_config_set_client_secret_callback(config, answer_nothing, &second, count) == SVCTOKEN_OK);
    CHECK(first == 1 && second == 0);
    CHECK(svctoken_config_set_client_id(config, "id") == SVCTOKEN_OK);
    CHECK(svctoken_config_set_token_url(config, "http://127.0.0.1:9/token") == SVCTOKEN_OK);
    svctoken_client *client = NULL;
    char *token = NULL;
    CHECK_OK(svctoken_client_new(config, &client, &error));
    CHECK(second == 0);
    svctoken_error *error = NULL;
    CHECK(svctoken_client_get_token(client, NULL, &token, &error) == SVCTOKEN_CREDENTIAL_UNAVAILABLE);
    CHECK(strstr(svctoken_error_message(error), "it gave NULL") != NULL && token == NULL && second == 1);
    svctoken_error_free(error);
    svctoken_client_free(client);
    CHECK(svctoken_config_set_client_secret_callback(config, NULL, &never, count) == SVCTOKEN_INVALID_CONFIGURATION);
    svctoken_config_free(config);
    CHECK(first == 1 && never == 0);
}

int main(void) {
    errors();
    size_t setters = configs();
    log_callbacks();
    secret_callbacks();
    svctoken_client *client = clients();
    calls(client);
    call_options(client);
    getters();
    svctoken_client_free(client);

    svctoken_client_free(NULL);
    svctoken_config_free(NULL);
    svctoken_options_free(NULL);
    svctoken_cancel_trigger(NULL);
    svctoken_cancel_free(NULL);
    svctoken_error_free(NULL);
    svctoken_token_info_free(NULL);
    svctoken_response_free(NULL);
    svctoken_pages_free(NULL);
    svctoken_stats_free(NULL);
    svctoken_string_free(NULL);
    printf("setters=%zu\n", setters);
    return 0;
}
