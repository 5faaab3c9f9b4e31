/* The C driver: one command a line in, one answer a line out, as tests/drivers/README.md says. It judges nothing.
 *
 * gcc -std=c11 -Wall -Wextra -Wpedantic -Werror -pthread -Iinclude -o driver tests/drivers/c/driver.c \
 *     -LLIBRARIES -Wl,-rpath,LIBRARIES -lsvctoken
 */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <time.h>

#include "download.h"
#include "lines.h"
#include "upload.h"
#include "svctoken.h"

extern char **environ;

/* Why a command is broken that asks for what C cannot say. */
static const char NOT_EXPRESSIBLE[] = "not expressible";

/* Answers ---------------------------------------------------------------------------------------------------- */

/* Whether to show on standard error what a program might print, for the runner to search for secrets. */
static bool is_loud;

static void show(const char *name, const char *text) {
    if (is_loud && text != NULL) fprintf(stderr, "%s: %s\n", name, text);
}

static void show_error(const svctoken_error *error) {
    show("name", svctoken_error_name(error));
    show("message", svctoken_error_message(error));
    show("stage", svctoken_error_stage(error));
    show("next_step", svctoken_error_next_step(error));
    show("oauth_error", svctoken_error_oauth_error(error));
    show("oauth_error_description", svctoken_error_oauth_error_description(error));
    show("api_error_code", svctoken_error_api_error_code(error));
}

static void add_error(buffer *answer, svctoken_error *error) {
    show_error(error);
    append(answer, "error", 5);
    add_number(answer, "code", svctoken_error_code(error));
    add_text(answer, "name", svctoken_error_name(error));
    add_text(answer, "message", svctoken_error_message(error));
    add_text(answer, "stage", svctoken_error_stage(error));
    if (svctoken_error_status(error) != 0) add_number(answer, "status", svctoken_error_status(error));
    add_text(answer, "oauth_error", svctoken_error_oauth_error(error));
    add_text(answer, "oauth_error_description", svctoken_error_oauth_error_description(error));
    add_text(answer, "api_error_code", svctoken_error_api_error_code(error));
    if (svctoken_error_retry_after_ms(error) >= 0) {
        add_number(answer, "retry_after_ms", svctoken_error_retry_after_ms(error));
    }
    svctoken_error_free(error);
}

/* Clients ---------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    svctoken_code (*set)(svctoken_config *, const char *);
} texts[] = {
    {"client_id", svctoken_config_set_client_id},
    {"client_secret", svctoken_config_set_client_secret},
    {"client_secret_file", svctoken_config_set_client_secret_file},
    {"client_secret_command", svctoken_config_add_client_secret_command},
    {"client_secret_2", svctoken_config_set_client_secret_2},
    {"private_key", svctoken_config_set_private_key},
    {"private_key_file", svctoken_config_set_private_key_file},
    {"key_id", svctoken_config_set_key_id},
    {"access_token", svctoken_config_set_access_token},
    {"token_url", svctoken_config_set_token_url},
    {"issuer", svctoken_config_set_issuer},
    {"revocation_url", svctoken_config_set_revocation_url},
    {"introspection_url", svctoken_config_set_introspection_url},
    {"base_url", svctoken_config_set_base_url},
    {"allowed_origins", svctoken_config_add_allowed_origin},
    {"auth_method", svctoken_config_set_auth_method},
    {"auth_encoding", svctoken_config_set_auth_encoding},
    {"signing_alg", svctoken_config_set_signing_alg},
    {"assertion_audience", svctoken_config_set_assertion_audience},
    {"scope", svctoken_config_set_scope},
    {"audience", svctoken_config_set_audience},
    {"resource", svctoken_config_add_resource},
    {"cache", svctoken_config_set_cache},
    {"accept", svctoken_config_set_accept},
    {"user_agent", svctoken_config_set_user_agent},
    {"proxy", svctoken_config_set_proxy},
    {"ca_file", svctoken_config_set_ca_file},
    {"client_cert_file", svctoken_config_set_client_cert_file},
    {"client_key_file", svctoken_config_set_client_key_file},
};

static const struct {
    const char *name;
    svctoken_code (*set)(svctoken_config *, int64_t);
} times[] = {
    {"timeout", svctoken_config_set_timeout},
    {"connect_timeout", svctoken_config_set_connect_timeout},
    {"token_timeout", svctoken_config_set_token_timeout},
};

static const struct {
    const char *name;
    svctoken_code (*set)(svctoken_config *, uint64_t);
} counts[] = {
    {"max_attempts", svctoken_config_set_max_attempts},
    {"mint_budget", svctoken_config_set_mint_budget},
    {"max_response_bytes", svctoken_config_set_max_response_bytes},
};

static const struct {
    const char *prefix;
    svctoken_code (*add)(svctoken_config *, const char *, const char *);
} pairs[] = {
    {"extra_params.", svctoken_config_add_extra_param},
    {"headers.", svctoken_config_add_header},
};

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static void give_secret(svctoken_secret_answer *answer, void *path) {
    char secret[256];
    FILE *file = fopen(path, "r");
    if (file != NULL && fgets(secret, sizeof secret, file) != NULL) {
        secret[strcspn(secret, "\n")] = '\0';
        svctoken_secret_answer_set(answer, secret);
    } else {
        svctoken_secret_answer_fail(answer, "there is no secret today");
    }
    if (file != NULL) fclose(file);
}

/* Returns NULL, or why the driver cannot. The setters' codes are the constructor's business. */
static const char *set_option(svctoken_config *config, const pair *option) {
    int64_t number;
    if (!is_c_text(option)) return NOT_EXPRESSIBLE;
    for (size_t i = 0; i < LENGTH(texts); i++) {
        const char *type = after(option->key, texts[i].name);
        if (type != NULL && (*type == '\0' || strcmp(type, "!bytes") == 0)) {
            texts[i].set(config, option->value);
            return NULL;
        }
        if (type != NULL && strcmp(type, "!null") == 0) {
            texts[i].set(config, NULL);
            return NULL;
        }
    }
    for (size_t i = 0; i < LENGTH(times); i++) {
        if (strcmp(option->key, times[i].name) == 0 && read_number(option->value, &number)) {
            times[i].set(config, number);
            return NULL;
        }
    }
    for (size_t i = 0; i < LENGTH(counts); i++) {
        if (strcmp(option->key, counts[i].name) == 0 && read_number(option->value, &number) && number >= 0) {
            counts[i].set(config, (uint64_t)number);
            return NULL;
        }
    }
    for (size_t i = 0; i < LENGTH(pairs); i++) {
        const char *name = after(option->key, pairs[i].prefix);
        if (name != NULL) {
            pairs[i].add(config, name, option->value);
            return NULL;
        }
    }
    if (strcmp(option->key, "client_secret_callback") == 0) {
        svctoken_config_set_client_secret_callback(config, give_secret, strdup(option->value), free);
        return NULL;
    }
    if (strcmp(option->key, "allow_http") == 0) {
        svctoken_config_set_allow_http(config, strcmp(option->value, "true") == 0);
        return NULL;
    }
    return NOT_EXPRESSIBLE;
}

static void clear_environment(void) {
    for (char **variable = environ; variable != NULL && *variable != NULL;) {
        char name[256];
        size_t length = strcspn(*variable, "=");
        bool ours = after(*variable, "SVCTOKEN_") != NULL || after(*variable, "MONGODB_ATLAS_") != NULL;
        if (ours && length < sizeof name) {
            memcpy(name, *variable, length);
            name[length] = '\0';
            unsetenv(name);
            variable = environ;
        } else {
            variable++;
        }
    }
}

/* The events of a client that `events` has not taken yet, as the fields of its answer. Lives as long as the process: a
 * token request may outlive its client. */
typedef struct journal {
    struct journal *next;
    char *id;
    pthread_mutex_t lock;
    buffer fields;
    size_t count;
} journal;

static journal *journals;

static void add_event_field(journal *j, const char *name, const char *text) {
    char key[64];
    snprintf(key, sizeof key, "%zu.%s", j->count, name);
    add_text(&j->fields, key, text);
}

static const char *severity_name(svctoken_log_severity severity) {
    switch (severity) {
        case SVCTOKEN_LOG_DEBUG: return "debug";
        case SVCTOKEN_LOG_INFO: return "info";
        case SVCTOKEN_LOG_WARNING: return "warning";
        default: return "unknown";
    }
}

static void keep_event(const svctoken_log_event *event, void *user_data) {
    journal *j = user_data;
    const char *name, *text;
    show(svctoken_log_event_name(event), svctoken_log_event_message(event));
    for (size_t i = 0; svctoken_log_event_field_at(event, i, &name, &text); i++) show(name, text);
    pthread_mutex_lock(&j->lock);
    add_event_field(j, "severity", severity_name(svctoken_log_event_severity(event)));
    add_event_field(j, "name", svctoken_log_event_name(event));
    add_event_field(j, "message", svctoken_log_event_message(event));
    for (size_t i = 0; svctoken_log_event_field_at(event, i, &name, &text); i++) add_event_field(j, name, text);
    j->count++;
    pthread_mutex_unlock(&j->lock);
}

static const char *take_events(char *line, buffer *answer) {
    const char *id = next_word(&line);
    for (journal *j = journals; id != NULL && j != NULL; j = j->next) {
        if (strcmp(j->id, id) == 0) {
            append(answer, "ok", 2);
            pthread_mutex_lock(&j->lock);
            if (j->count > 0) append(answer, j->fields.bytes, j->fields.length);
            j->fields.length = j->count = 0;
            pthread_mutex_unlock(&j->lock);
            return NULL;
        }
    }
    return "unknown client";
}

static journal *new_journal(const char *id) {
    journal *j = allocate(sizeof *j);
    j->next = journals;
    j->id = strdup(id);
    pthread_mutex_init(&j->lock, NULL);
    journals = j;
    return j;
}

typedef struct client {
    struct client *next;
    char *id;
    svctoken_client *client;
} client;

static client *clients;

static svctoken_client *find_client(const char *id) {
    for (client *c = clients; id != NULL && c != NULL; c = c->next) {
        if (strcmp(c->id, id) == 0) return c->client;
    }
    return NULL;
}

/* Each returns NULL, or why the command is broken. */
static const char *make_client(char *line, buffer *answer) {
    const char *broken = NULL, *constructor = "plain", *server_url = NULL, *realm = NULL, *issuer = NULL;
    char *id = next_word(&line);
    if (id == NULL) return "a client needs an id";
    svctoken_config *config = svctoken_config_new();
    svctoken_config_set_log(config, keep_event, new_journal(id), NULL);
    clear_environment();
    for (pair p; broken == NULL && next_pair(&line, &p);) {
        const char *variable = after(p.key, "env.");
        if (variable != NULL) setenv(variable, p.value, 1);
        else if (strcmp(p.key, "constructor") == 0) constructor = p.value;
        else if (strcmp(p.key, "server_url") == 0) server_url = p.value;
        else if (strcmp(p.key, "realm") == 0) realm = p.value;
        else if (strcmp(constructor, "issuer") == 0 && strcmp(p.key, "issuer") == 0) issuer = p.value;
        else broken = set_option(config, &p);
    }
    svctoken_client *made = NULL;
    svctoken_error *error = NULL;
    if (broken != NULL) {
        svctoken_config_free(config);
        return broken;
    }
    if (strcmp(constructor, "plain") == 0) svctoken_client_new(config, &made, &error);
    else if (strcmp(constructor, "atlas") == 0) svctoken_client_new_atlas(config, &made, &error);
    else if (strcmp(constructor, "from_env") == 0) svctoken_client_new_from_env(config, &made, &error);
    else if (strcmp(constructor, "keycloak") == 0) {
        svctoken_client_new_keycloak(server_url, realm, config, &made, &error);
    } else if (strcmp(constructor, "issuer") == 0) {
        svctoken_client_new_issuer(issuer, config, &made, &error);
    } else {
        broken = "unknown constructor";
    }
    svctoken_config_free(config);
    if (made != NULL) {
        client *kept = allocate(sizeof *kept);
        *kept = (client){clients, strdup(id), made};
        clients = kept;
        append(answer, "ok", 2);
    } else if (error != NULL) {
        add_error(answer, error);
    }
    return broken;
}

static const char *close_client(char *line, buffer *answer) {
    const char *id = next_word(&line);
    for (client **c = &clients; id != NULL && *c != NULL; c = &(*c)->next) {
        if (strcmp((*c)->id, id) == 0) {
            client *closed = *c;
            *c = closed->next;
            svctoken_client_free(closed->client);
            free(closed->id);
            free(closed);
            append(answer, "ok", 2);
            return NULL;
        }
    }
    return "unknown client";
}

static const char *invalidate_token(char *line, buffer *answer) {
    const svctoken_client *with = find_client(next_word(&line));
    const char *token = next_word(&line);
    if (with == NULL) return "unknown client";
    bool was_current = false;
    svctoken_error *error = NULL;
    if (svctoken_client_invalidate_token(with, token, &was_current, &error) != SVCTOKEN_OK) {
        add_error(answer, error);
    } else {
        append(answer, "ok", 2);
        add_text(answer, "result", was_current ? "true" : "false");
    }
    return NULL;
}

static const char *clear_cache(char *line, buffer *answer) {
    const svctoken_client *of = find_client(next_word(&line));
    if (of == NULL) return "unknown client";
    svctoken_error *error = NULL;
    if (svctoken_client_clear_cache(of, &error) != SVCTOKEN_OK) add_error(answer, error);
    else append(answer, "ok", 2);
    return NULL;
}

static const char *tell_stats(char *line, buffer *answer) {
    const svctoken_client *of = find_client(next_word(&line));
    svctoken_stats *stats = NULL;
    if (of == NULL) return "unknown client";
    svctoken_client_get_stats(of, &stats, NULL);
    append(answer, "ok", 2);
    const char *name;
    uint64_t count;
    for (size_t i = 0; svctoken_stats_at(stats, i, &name, &count); i++) add_number(answer, name, (int64_t)count);
    svctoken_stats_free(stats);
    return NULL;
}

/* Calls ------------------------------------------------------------------------------------------------------ */

typedef struct call {
    struct call *next;
    char *id, *method, *url, *token;
    char then;
    /* Of a stream: how much is asked for at once, after how many bytes the reader leaves, and after how many it cancels. */
    size_t stream, stop_after, cancel_after, measure;
    upload upload;
    download download;
    int64_t take;
    void (*make)(struct call *);
    const svctoken_client *client;
    svctoken_options *options;
    svctoken_cancel *cancel;
    pthread_t thread;
    buffer answer;
} call;

static call *calls;

static void get_token(call *c) {
    char *token = NULL;
    svctoken_error *error = NULL;
    if (svctoken_client_get_token(c->client, c->options, &token, &error) != SVCTOKEN_OK) {
        add_error(&c->answer, error);
        return;
    }
    append(&c->answer, "ok", 2);
    add_text(&c->answer, "token", token);
    svctoken_string_free(token);
}

static void get_token_info(call *c) {
    svctoken_token_info *info = NULL;
    svctoken_error *error = NULL;
    if (svctoken_client_get_token_info(c->client, c->options, &info, &error) != SVCTOKEN_OK) {
        add_error(&c->answer, error);
        return;
    }
    append(&c->answer, "ok", 2);
    add_text(&c->answer, "token", svctoken_token_info_token(info));
    add_text(&c->answer, "token_type", svctoken_token_info_type(info));
    add_text(&c->answer, "scope", svctoken_token_info_scope(info));
    add_number(&c->answer, "expires_in_ms", svctoken_token_info_expires_in_ms(info));
    svctoken_token_info_free(info);
}

static void revoke(call *c) {
    bool revoked = false;
    svctoken_error *error = NULL;
    if (svctoken_client_revoke(c->client, c->options, &revoked, &error) != SVCTOKEN_OK) {
        add_error(&c->answer, error);
        return;
    }
    append(&c->answer, "ok", 2);
    add_text(&c->answer, "result", revoked ? "true" : "false");
}

static void introspect(call *c) {
    char *json = NULL;
    svctoken_error *error = NULL;
    if (svctoken_client_introspect(c->client, c->token, c->options, &json, &error) != SVCTOKEN_OK) {
        add_error(&c->answer, error);
        return;
    }
    append(&c->answer, "ok", 2);
    add_text(&c->answer, "body", json);
    svctoken_string_free(json);
}

static void add_headers(buffer *answer, const svctoken_response *response) {
    const char *name, *value;
    for (size_t i = 0; svctoken_response_header_at(response, i, &name, &value); i++) {
        buffer key = {0};
        append(&key, "header.", 7);
        append(&key, name, strlen(name));
        add_text(answer, key.bytes, value);
        free(key.bytes);
    }
}

static void show_error_of_status(const svctoken_response *response) {
    svctoken_error *error = NULL;
    if (svctoken_response_check(response, &error) != SVCTOKEN_OK) {
        show_error(error);
        svctoken_error_free(error);
    }
}

/* A number of /proc/self/status, in KiB; the peak is forgotten when the present is asked. */
static int64_t memory(const char *name) {
    char line[256];
    long long number = 0;
    FILE *file = strcmp(name, "VmRSS") == 0 ? fopen("/proc/self/clear_refs", "w") : NULL;
    if (file != NULL) {
        fputs("5", file);
        fclose(file);
    }
    file = fopen("/proc/self/status", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, name, strlen(name)) == 0) sscanf(line + strlen(name), ": %lld", &number);
    }
    if (file != NULL) fclose(file);
    return number;
}

/* What came of a body: the bytes, or where memory is measured only whether they were what they should be. */
typedef struct {
    buffer body;
    size_t length;
    bool matches;
} streamed;

static svctoken_code read_stream(call *c, svctoken_response *response, streamed *got, svctoken_error **error) {
    char *piece = allocate(c->stream), *pattern = allocate(c->stream + 251);
    svctoken_code code = SVCTOKEN_OK;
    for (size_t i = 0; i < c->stream + 251; i++) pattern[i] = (char)(i % 251);
    while (got->length < c->stop_after) {
        size_t length = 0;
        code = svctoken_response_read(response, piece, c->stream, &length, error);
        if (code != SVCTOKEN_OK || length == 0) break;
        if (!c->measure) append(&got->body, piece, length);
        else if (memcmp(piece, pattern + got->length % 251, length) != 0) got->matches = false;
        got->length += length;
        if (got->length >= c->cancel_after) svctoken_cancel_trigger(c->cancel);
    }
    free(piece);
    free(pattern);
    return code;
}

static void add_measured(call *c, const streamed *got, int64_t begin) {
    add_number(&c->answer, "streamed", (int64_t)got->length);
    if (!c->measure) return;
    add_text(&c->answer, "matches", got->matches ? "true" : "false");
    add_number(&c->answer, "growth_kib", memory("VmHWM") - begin);
}

static void request_stream(call *c) {
    svctoken_response *response = NULL;
    svctoken_error *error = NULL;
    if (svctoken_client_request_stream(c->client, c->method, c->url, c->options, &response, &error) != SVCTOKEN_OK) {
        add_error(&c->answer, error);
        return;
    }
    show_error_of_status(response);
    streamed got = {.matches = true};
    int64_t begin = c->measure ? memory("VmRSS") : 0;
    if (c->then == 'c' && svctoken_response_check(response, &error) != SVCTOKEN_OK) add_error(&c->answer, error);
    else if (read_stream(c, response, &got, &error) != SVCTOKEN_OK) {
        add_error(&c->answer, error);
        add_measured(c, &got, begin);
    } else {
        append(&c->answer, "ok", 2);
        add_number(&c->answer, "status", svctoken_response_status(response));
        add_number(&c->answer, "attempts", svctoken_response_attempts(response));
        add_text(&c->answer, "url", svctoken_response_url(response));
        add_bytes(&c->answer, "body", got.body.bytes, got.body.length);
        add_measured(c, &got, begin);
        add_headers(&c->answer, response);
    }
    free(got.body.bytes);
    svctoken_response_free(response);
}

static svctoken_code send_request(call *c, svctoken_response **response, svctoken_error **error) {
    if (c->download.path == NULL) return svctoken_client_request(c->client, c->method, c->url, c->options, response, error);
    svctoken_options_set_progress(c->options, hear_progress, &c->download, NULL);
    return svctoken_client_download(c->client, c->method, c->url, c->download.path, c->options, response, error);
}

static void request_whole(call *c) {
    svctoken_response *response = NULL;
    svctoken_error *error = NULL;
    if (send_request(c, &response, &error) != SVCTOKEN_OK) {
        add_error(&c->answer, error);
        add_progress(&c->answer, &c->download);
        return;
    }
    append(&c->answer, "ok", 2);
    add_number(&c->answer, "status", svctoken_response_status(response));
    add_number(&c->answer, "attempts", svctoken_response_attempts(response));
    add_text(&c->answer, "url", svctoken_response_url(response));
    add_bytes(&c->answer, "body", svctoken_response_body(response), svctoken_response_body_len(response));
    show_error_of_status(response);
    svctoken_code then = SVCTOKEN_OK;
    if (c->then == 'c') then = svctoken_response_check(response, &error);
    if (c->then == 't') {
        const char *text = NULL;
        size_t length = 0;
        then = svctoken_response_text(response, &text, &length, &error);
        if (then == SVCTOKEN_OK) add_bytes(&c->answer, "text", text, length);
    }
    if (then != SVCTOKEN_OK) {
        c->answer.length = 0;
        add_error(&c->answer, error);
        svctoken_response_free(response);
        return;
    }
    add_progress(&c->answer, &c->download);
    add_headers(&c->answer, response);
    svctoken_response_free(response);
}

static void request(call *c) {
    if (c->stream > 0) {
        request_stream(c);
        return;
    }
    int64_t begin = c->measure ? memory("VmRSS") : 0;
    request_whole(c);
    if (c->measure) add_number(&c->answer, "growth_kib", memory("VmHWM") - begin);
}

static void pages(call *c) {
    svctoken_pages *pages = NULL;
    svctoken_response *page = NULL, *last = NULL;
    svctoken_error *error = NULL;
    buffer urls = {0};
    int64_t count = 0;
    svctoken_code code = svctoken_pages_new(c->client, c->url, c->options, &pages, &error);
    while (code == SVCTOKEN_OK && (c->take == 0 || count < c->take)) {
        code = svctoken_pages_next(pages, &page, &error);
        if (code != SVCTOKEN_OK || page == NULL) break;
        svctoken_response_free(last);
        last = page;
        if (count++ > 0) append(&urls, " ", 1);
        append(&urls, svctoken_response_url(page), strlen(svctoken_response_url(page)));
    }
    if (code != SVCTOKEN_OK) {
        add_error(&c->answer, error);
    } else {
        append(&c->answer, "ok", 2);
        add_bytes(&c->answer, "urls", urls.bytes, urls.length);
    }
    add_number(&c->answer, "count", count);
    if (code == SVCTOKEN_OK && last != NULL) {
        add_number(&c->answer, "status", svctoken_response_status(last));
        add_bytes(&c->answer, "body", svctoken_response_body(last), svctoken_response_body_len(last));
    }
    svctoken_response_free(last);
    svctoken_pages_free(pages);
    free(urls.bytes);
}

static int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void *run_call(void *argument) {
    call *c = argument;
    int64_t began = now_ms();
    c->make(c);
    add_number(&c->answer, "elapsed_ms", now_ms() - began);
    return NULL;
}

/* The body and its type, which may come in any order, until both are known. */
typedef struct {
    const char *bytes, *content_type;
    /* What is done with the answer: 'c'heck its status, read its 't'ext, or nothing. */
    char then;
    /* How many pages are read; 0: all. */
    int64_t take;
    size_t length;
} body;

static const char *set_call_option(svctoken_options *options, body *sent, const pair *p) {
    int64_t number;
    const char *name;
    if (strcmp(p->key, "body") == 0 || strcmp(p->key, "json") == 0) {
        sent->bytes = p->value;
        sent->length = p->length;
        if (p->key[0] == 'j') sent->content_type = "application/json";
        return NULL;
    }
    if (!is_c_text(p)) return NOT_EXPRESSIBLE;
    if (strcmp(p->key, "content_type") == 0) sent->content_type = p->value;
    else if (strcmp(p->key, "accept") == 0) svctoken_options_set_accept(options, p->value);
    else if ((name = after(p->key, "query.")) != NULL) svctoken_options_add_query(options, name, p->value);
    else if ((name = after(p->key, "header.")) != NULL) svctoken_options_add_header(options, name, p->value);
    else if ((name = after(p->key, "form.")) != NULL) svctoken_options_add_form(options, name, p->value);
    else if (strcmp(p->key, "then") == 0) sent->then = p->value[0];
    else if (strcmp(p->key, "idempotent") == 0) {
        svctoken_options_set_idempotent(options, strcmp(p->value, "true") == 0);
    }
    else if (!read_number(p->value, &number)) return NOT_EXPRESSIBLE;
    else if (strcmp(p->key, "timeout") == 0) svctoken_options_set_timeout(options, number);
    else if (strcmp(p->key, "idle_timeout") == 0) svctoken_options_set_idle_timeout(options, number);
    else if (strcmp(p->key, "take") == 0) sent->take = number;
    else if (strcmp(p->key, "max_pages") == 0 && number >= 0) {
        svctoken_options_set_max_pages(options, (uint64_t)number);
    }
    else if (strcmp(p->key, "max_attempts") == 0 && number >= 0) {
        svctoken_options_set_max_attempts(options, (uint64_t)number);
    }
    else if (strcmp(p->key, "max_response_bytes") == 0 && number >= 0) {
        svctoken_options_set_max_response_bytes(options, (uint64_t)number);
    } else {
        return NOT_EXPRESSIBLE;
    }
    return NULL;
}

/* Whether the field says how the answer is read as a stream. */
static bool read_streaming(call *c, const pair *p) {
    const struct {
        const char *name;
        size_t *field;
    } fields[] = {{"stream", &c->stream}, {"stop_after", &c->stop_after}, {"cancel_after", &c->cancel_after}, {"measure", &c->measure}};
    int64_t number;
    for (size_t i = 0; i < LENGTH(fields); i++) {
        if (strcmp(p->key, fields[i].name) == 0 && read_number(p->value, &number) && number >= 0) {
            *fields[i].field = (size_t)number;
            return true;
        }
    }
    return false;
}

/* Whether the field says how a request's bodies go, other than as bytes. */
static bool read_special(call *c, const pair *p) {
    return read_streaming(c, p) || read_upload(&c->upload, p) || read_download(&c->download, p);
}

static void free_call(call *c) {
    end_upload(&c->upload);
    free(c->download.path);
    svctoken_options_free(c->options);
    svctoken_cancel_free(c->cancel);
    free(c->answer.bytes);
    free(c->method);
    free(c->url);
    free(c->token);
    free(c->id);
    free(c);
}

static const char *start_call(void (*make)(call *), char *line, buffer *answer) {
    const char *id = next_word(&line);
    const svctoken_client *with = find_client(next_word(&line));
    if (with == NULL) return "unknown client";
    call *c = allocate(sizeof *c);
    c->id = strdup(id);
    c->make = make;
    c->client = with;
    c->stop_after = c->cancel_after = SIZE_MAX;
    c->options = svctoken_options_new();
    c->cancel = svctoken_cancel_new();
    svctoken_options_set_cancel(c->options, c->cancel);
    c->upload = no_upload(c->cancel);
    const char *broken = NULL;
    if (make == request) {
        const char *method = next_word(&line), *url = next_word(&line);
        if (method == NULL || url == NULL) broken = "a request needs a method and a URL";
        c->method = strdup(method == NULL ? "" : method);
        c->url = strdup(url == NULL ? "" : url);
    } else if (make == pages) {
        const char *url = next_word(&line);
        if (url == NULL) broken = "a list needs a URL";
        c->url = strdup(url == NULL ? "" : url);
    }
    body sent = {0};
    for (pair p; broken == NULL && next_pair(&line, &p);) {
        if (make == introspect && strcmp(p.key, "token") == 0) c->token = strdup(p.value);
        else if (make == request && read_special(c, &p)) continue;
        else broken = set_call_option(c->options, &sent, &p);
    }
    c->then = sent.then;
    c->take = sent.take;
    if (c->upload.given) {
        if (!add_upload(&c->upload, c->options, sent.content_type)) broken = NOT_EXPRESSIBLE;
    } else if (sent.bytes != NULL || sent.content_type != NULL) {
        svctoken_options_set_body(c->options, sent.bytes, sent.length, sent.content_type);
    }
    if (broken == NULL && pthread_create(&c->thread, NULL, run_call, c) != 0) broken = "no thread";
    if (broken != NULL) {
        free_call(c);
        return broken;
    }
    c->next = calls;
    calls = c;
    append(answer, "ok", 2);
    return NULL;
}

static const char *wait_for_call(char *line, buffer *answer) {
    const char *id = next_word(&line);
    for (call **c = &calls; id != NULL && *c != NULL; c = &(*c)->next) {
        if (strcmp((*c)->id, id) == 0) {
            call *ended = *c;
            pthread_join(ended->thread, NULL);
            *c = ended->next;
            append(answer, ended->answer.bytes, ended->answer.length);
            free_call(ended);
            return NULL;
        }
    }
    return "unknown call";
}

static const char *cancel_call(char *line, buffer *answer) {
    const char *id = next_word(&line);
    for (const call *c = calls; id != NULL && c != NULL; c = c->next) {
        if (strcmp(c->id, id) == 0) {
            svctoken_cancel_trigger(c->cancel);
            append(answer, "ok", 2);
            return NULL;
        }
    }
    return "unknown call";
}

/* Commands --------------------------------------------------------------------------------------------------- */

static const char *advance(char *line, buffer *answer) {
    int64_t milliseconds;
    const char *text = next_word(&line);
    if (text == NULL || !read_number(text, &milliseconds)) return "advance needs milliseconds";
    if (svctoken_testing_advance_clock(milliseconds) != SVCTOKEN_OK) return "the clock goes forward only";
    append(answer, "ok", 2);
    return NULL;
}

static const char *obey(char *line, buffer *answer) {
    const char *command = next_word(&line);
    if (strcmp(command, "client") == 0) return make_client(line, answer);
    if (strcmp(command, "get_token") == 0) return start_call(get_token, line, answer);
    if (strcmp(command, "get_token_info") == 0) return start_call(get_token_info, line, answer);
    if (strcmp(command, "introspect") == 0) return start_call(introspect, line, answer);
    if (strcmp(command, "revoke") == 0) return start_call(revoke, line, answer);
    if (strcmp(command, "request") == 0) return start_call(request, line, answer);
    if (strcmp(command, "pages") == 0) return start_call(pages, line, answer);
    if (strcmp(command, "wait") == 0) return wait_for_call(line, answer);
    if (strcmp(command, "cancel") == 0) return cancel_call(line, answer);
    if (strcmp(command, "invalidate_token") == 0) return invalidate_token(line, answer);
    if (strcmp(command, "clear_cache") == 0) return clear_cache(line, answer);
    if (strcmp(command, "advance") == 0) return advance(line, answer);
    if (strcmp(command, "stats") == 0) return tell_stats(line, answer);
    if (strcmp(command, "events") == 0) return take_events(line, answer);
    if (strcmp(command, "close") == 0) return close_client(line, answer);
    if (strcmp(command, "describe") == 0 || strcmp(command, "items") == 0) return NOT_EXPRESSIBLE;
    if (strcmp(command, "quit") == 0) {
        append(answer, "ok", 2);
        return NULL;
    }
    return "unknown command";
}

int main(void) {
    char *line = NULL;
    size_t capacity = 0;
    ssize_t length;
    bool quit = false;
    is_loud = getenv("SVCTOKEN_DRIVER_LOUD") != NULL;
    while (!quit && (length = getline(&line, &capacity, stdin)) > 0) {
        if (line[length - 1] == '\n') line[length - 1] = '\0';
        quit = strcmp(line, "quit") == 0;
        buffer answer = {0};
        const char *broken = obey(line, &answer);
        if (broken != NULL) {
            answer.length = 0;
            append(&answer, "broken", 6);
            add_text(&answer, "message", broken);
        }
        append(&answer, "\n", 1);
        fwrite(answer.bytes, 1, answer.length, stdout);
        fflush(stdout);
        free(answer.bytes);
    }
    free(line);
    return 0;
}
