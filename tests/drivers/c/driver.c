/* The C driver: one command a line in, one answer a line out, as tests/drivers/README.md says. It judges nothing.
 *
 * gcc -std=c11 -Wall -Wextra -Wpedantic -Werror -pthread -Iinclude -o driver tests/drivers/c/driver.c \
 *     -LLIBRARIES -Wl,-rpath,LIBRARIES -lsvctoken
 */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <time.h>

#include "answers.h"
#include "call.h"
#include "clients.h"
#include "config.h"
#include "lines.h"
#include "requests.h"
#include "svctoken.h"

/* Calls ------------------------------------------------------------------------------------------------------ */

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
